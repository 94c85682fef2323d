# Started for each run: sh wrapper.sh FOLDER LEASE FILES DIRECTORY COMMAND [ARGUMENT...]
# Cron-sized on purpose: shell builtins only, so that a run costs little more than its command.
# 1. Past the lease's deadline nothing is started. 2. Of all wrappers of a run, the one that creates `started`
# goes on. 3. FILES is how many files the command may open: the daemon's own limit is higher. 4. The command runs
# as a child, so that its exit code is kept even while no worker daemon runs.
folder=$1 lease=$2 files=$3 directory=$4
shift 4
read -r now _ < /proc/uptime || exit 75
read -r deadline < "$lease" || exit 75
[ "$deadline" = never ] || [ "${now%.*}" -lt "$deadline" ] || exit 75
read -r stat < /proc/$$/stat || exit 75
set -C
{ echo "$stat $now" > "$folder/started"; } 2> /dev/null || exit 76
set +C
ulimit -S -n "$files"
trap : HUP INT TERM
cd "$directory" 2> /dev/null || cd /
unset OLDPWD
"$@"
code=$?
read -r now _ < /proc/uptime
echo "$code $now" 1<> "$folder/exit"
