"""The first process of a host: `host_init.py NAME HOME VISIBLE…`. Gives it its own files, keeps its syslog, reaps.

It runs in fresh mount, UTS, IPC and PID namespaces, and does without our packages, since each host has one.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# Below the host's home, and where the host sees it.
BINDS = {
    "cron.d": "/etc/cron.d",
    "spool": "/var/spool/cron",
    "etc/crontab": "/etc/crontab",
    "etc/passwd": "/etc/passwd",
    "etc/group": "/etc/group",
    "etc/shadow": "/etc/shadow",
}
USER_HOME = Path("/run/ckuser")


def mount(*arguments: str | Path, pass_fds: tuple[int, ...] = ()) -> None:
    """mount(8)."""
    subprocess.run(["mount", *arguments], check=True, pass_fds=pass_fds)


def mount_files(home: Path) -> None:
    """Put the host's own files in the place of the machine's."""
    # As after any boot, /run is empty. It also is the one place where no checkout and no home lies.
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for source, target in BINDS.items():
        mount("--bind", home / source, target)
    USER_HOME.mkdir()
    mount("--bind", home / "user", USER_HOME)


def mount_devices(dev: Path) -> None:
    """A /dev of its own, so that /dev/log is."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", dev)
    for name in DEVICES:
        (dev / name).touch()
        mount("--bind", Path("/dev") / name, dev / name)
    for name in ("shm", "pts"):
        (dev / name).mkdir()
    mount("-t", "tmpfs", "tmpfs", dev / "shm")
    mount("--rbind", "/dev/pts", dev / "pts")
    for name, target in DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    mount("--rbind", dev, "/dev")


def closed_above(path: Path) -> Path | None:
    """The topmost folder on the way to a path that not everybody may pass through."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def open_way(paths: list[Path]) -> None:
    """Let everybody on the host reach these, and nothing else that lies in the same closed folders."""
    closed = {path: folder for path in paths if (folder := closed_above(path)) is not None}
    handles = {path: os.open(path, os.O_PATH) for path in closed}
    for folder in set(closed.values()):
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for path, handle in handles.items():
        path.mkdir(parents=True, exist_ok=True)
        mount("--no-canonicalize", "--bind", f"/proc/self/fd/{handle}", path, pass_fds=(handle,))
        os.close(handle)


def reap(*_: object) -> None:
    """Bury every child that has ended: the orphans of the host are ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main(name: str, home: Path, visible: list[Path]) -> None:
    """Set the host up, say so on stdout, and never return."""
    socket.sethostname(name)
    mount_files(home)
    mount_devices(home / "dev")
    syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslog.bind("/dev/log")
    Path("/dev/log").chmod(0o666)
    with (home / "syslog").open("ab", buffering=0) as log:
        open_way(visible)
        signal.signal(signal.SIGCHLD, reap)
        os.write(1, b"ready\n")
        os.dup2(log.fileno(), 1)
        while True:
            log.write(syslog.recv(65536).rstrip(b"\0\n") + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [Path(path).resolve() for path in sys.argv[3:]])
