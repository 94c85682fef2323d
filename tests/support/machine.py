"""A Debian with systemd as its first process, in namespaces of its own: where units run for real. Takes root.

It shares the network with this machine, loopback and all, and can do nothing to its kernel. What is written on it
is in memory and goes with it.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from testbed.hosts import child_of
from testbed.server import dying_with_us, program

from .image import IN_DEV, PATH, Image
from .wait import wait_until

PACKAGES = "systemd cron sudo procps"
# What would reach beyond the namespaces.
WITHHELD = "-sys_module,-sys_rawio,-sys_time,-syslog,-mac_admin,-mac_override"
# $1 a cgroup; the rest is run in it, the root of the cgroups that it sees.
ENTER = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'
# $1 the layers, topmost first; $2 an empty folder.
BOOT = f"""
set -e
mount -t tmpfs -o mode=755 tmpfs "$2"
cd "$2"
mkdir root upper work
mount -t overlay -o "lowerdir=$1,upperdir=upper,workdir=work" overlay root
cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
{IN_DEV}
cp /etc/resolv.conf etc/resolv.conf
rm -r etc/systemd/system/timers.target.wants
# What is in a chroot may make no user namespaces.
pivot_root . mnt
umount --lazy /mnt
# As systemd has it on a real machine: what it mounts for one service is seen by that.
mount --make-rshared /
exec setpriv --bounding-set={WITHHELD} env -i container=other PATH={PATH} \
    /lib/systemd/systemd --unit=basic.target --show-status=no --log-target=journal
"""
READY = {"running", "degraded"}


class Machine:
    """Boots with `start`; lives no longer than the thread that started it."""

    def __init__(self, image: Image) -> None:
        """`image` has `PACKAGES` in it."""
        self._image = image
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Boot; returns when systemd has reached its target."""
        self._cgroup = _new_cgroup()
        self._place = tempfile.TemporaryDirectory()
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--propagation", "private"]
        apart = [program("unshare"), *spaces, "--fork", "--kill-child"]
        boot = ["sh", "-c", BOOT, "sh", self._image.lower, self._place.name]
        enter = ["sh", "-c", ENTER, "sh", str(self._cgroup)]
        self._outer = subprocess.Popen([*dying_with_us(), *enter, *apart, *boot], stdin=subprocess.DEVNULL)
        wait_until(lambda: self.run("systemctl", "is-system-running", check=False).strip() in READY, 30, 0.1)

    def stop(self) -> None:
        """Cut its power."""
        if self._outer is None:
            return
        self._outer.kill()
        self._outer.wait()
        wait_until(lambda: _removed(self._cgroup))
        self._place.cleanup()
        self._outer = None

    @property
    def pid(self) -> int:
        """systemd's, as this machine numbers it."""
        assert self._outer is not None
        return child_of(self._outer.pid)

    @property
    def root(self) -> Path:
        """Its files."""
        return Path(f"/proc/{self.pid}/root")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Make a file."""
        target = self.root / path.lstrip("/")
        target.touch(mode=mode)
        target.write_text(text)

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command to its end, and return what it said."""
        try:
            target = str(self.pid)
        except ProcessLookupError:
            return ""
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd"]
        enter = [program("nsenter"), "--target", target, *spaces, "--", "env", "-i", f"PATH={PATH}", *words]
        done = subprocess.run([*dying_with_us(), *enter], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", what, "--value", unit).strip()

    def journal(self, unit: str) -> str:
        """What a unit has logged so far."""
        return self.run("journalctl", "--no-pager", "--unit", unit, check=False)

    def kill(self, pid: int) -> None:
        """kill -9 one of its processes, as it numbers them."""
        self.run("kill", "-9", str(pid))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _new_cgroup() -> Path:
    """One of the unified hierarchy; those of test processes that were killed go on the way."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    unified = next(Path(fields[1]) for fields in mounts if fields[2] == "cgroup2")
    for old in unified.glob("cronkeeper-test-*"):
        if not Path(f"/proc/{old.name.rpartition('-')[2]}").exists():
            _removed(old)
    made = unified / f"cronkeeper-test-{time.monotonic_ns()}-{os.getpid()}"
    made.mkdir()
    return made


def _removed(cgroup: Path) -> bool:
    """Whether it and all below it could be removed: nothing runs in there any more."""
    try:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            Path(folder).rmdir()
    except OSError:
        return False
    return not cgroup.exists()
