#!/bin/sh
# Installs the distribution's packages that the tests and the test-bed need, where any is missing. As another user
# than root it says what to install, and fails. Tried on Debian 12. Starts no service.
set -eu
PATH=$PATH:/usr/sbin:/sbin
POLICY=/usr/sbin/policy-rc.d

# need PACKAGE FILE-OR-COMMAND...: the package is missing where one of these is.
missing=
need() {
    package=$1
    shift
    for thing; do
        case $thing in
            /*) [ -e "$thing" ] && continue ;;
            *) command -v "$thing" >/dev/null && continue ;;
        esac
        missing="$missing $package"
        return
    done
}

need default-jre-headless java
need zookeeper /usr/share/java/zookeeper.jar
need libslf4j-java /usr/share/java/slf4j-simple.jar
need mariadb-server mariadbd mariadb-install-db mariadb
need haproxy haproxy
need rsync rsync
need tcc tcc
need libc6-dev /usr/include/time.h
need cron cron crontab
need nftables nft
need iproute2 ip
need util-linux nsenter unshare setpriv
need mount mount
need procps pgrep ps
# For the tests of what an operator installs.
need systemd systemd-analyze
need nginx-light nginx
need chrony chronyd
need logrotate logrotate
need debootstrap debootstrap
${PYTHON:-python3} -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"

[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "Packages are missing. Install them with:" >&2
    echo "    sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# A package must not start its service: the tests start their own.
if [ ! -e "$POLICY" ]; then
    trap 'rm -f "$POLICY"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
fi

install() {
    # shellcheck disable=SC2086 # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
}

echo "Installing:$missing"
# The lists of packages may be absent, or too old for what the mirror still has.
if ! log=$(install 2>&1); then
    apt-get update -qq
    log=$(install 2>&1) || {
        echo "$log" >&2
        exit 1
    }
fi
