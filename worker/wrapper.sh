# Started for each run: sh wrapper.sh FOLDER LEASE FILES DIRECTORY COMMAND [ARGUMENT...]
# Cron-sized on purpose: shell builtins only, so that a run costs little more than its command.
# 1. Past the lease's deadline nothing is started, unless LEASE is `never`. 2. Of all wrappers of a run, the one that creates `started`
# goes on. 3. FILES is how many files the command may open: the daemon's own limit is higher. A score below 0 has the
# kernel spare the daemon when memory is short, and is not for jobs. 4. The command runs as a child, so that its exit
# code is kept even while no worker daemon runs. 5. Where the daemon has it end, and has noted that in `stopped`, it
# stays until it is alone in its session, so that the number is ours as long as anything is left that may have to be
# killed. A SIGTERM of somebody else's, as of `kill 0`, is the command's own affair.
alone() {
    for file in /proc/[0-9]*/stat; do
        { read -r stat < "$file"; } 2> /dev/null || continue
        set -- ${stat##*) }
        [ "$4" != $$ ] || [ "$1" = Z ] || [ "$file" = /proc/$$/stat ] || return 1
    done
}
folder=$1 lease=$2 files=$3 directory=$4
shift 4
read -r now _ < /proc/uptime || exit 75
deadline=never
[ "$lease" = never ] || read -r deadline < "$lease" || exit 75
[ "$deadline" = never ] || [ "${now%.*}" -lt "$deadline" ] || exit 75
read -r stat < /proc/$$/stat || exit 75
asked= told=
trap : HUP INT
trap asked=1 TERM
set -C
{ echo "$stat $now" > "$folder/started"; } 2> /dev/null || exit 76
set +C
ulimit -S -n "$files"
read -r score < /proc/$$/oom_score_adj
[ "$score" -ge 0 ] || echo 0 > /proc/$$/oom_score_adj
cd "$directory" 2> /dev/null || cd /
unset OLDPWD
"$@"
code=$?
[ ! "$asked" ] || { read -r told < "$folder/stopped"; } 2> /dev/null
while [ "$told" ] && ! alone; do
    /bin/sleep 0.1 || break
done
read -r now _ < /proc/uptime
echo "$code $now" 1<> "$folder/exit"
