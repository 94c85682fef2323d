"""What this machine is: its facts, and what tells it from a copy of it."""

import os
import platform
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cronkeeper.common.clock import boot_id, boottime
from cronkeeper.common.facts import Crond
from cronkeeper.worker.crontab_file import CROND_NAMES, crond_pid

PROC = Path("/proc")
MARKS = ((b"cronie", Crond.CRONIE), (b"BusyBox", Crond.BUSYBOX), (b"bcron", Crond.BCRON))
"""What stands in the program of each; Debian's says nothing of itself."""
BCRON = "bcron-sched"
LARGEST = 8 * 1024 * 1024
"""Bytes of a program that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is true of a machine until it is rebooted."""

    hostname: str
    os: str
    kernel: str
    architecture: str
    cores: int
    memory: int
    booted_at: datetime


@dataclass(frozen=True, slots=True)
class Disk:
    """Of a filesystem, in bytes; `free` is what others than root may still take."""

    total: int
    free: int


def boot_of(home: Path) -> str:
    """This boot of the machine with this home on it: another one after a reboot, and on a copy of either.

    The kernel's id differs between two machines and two boots, and the folder's inode between a home and its copy.
    """
    found = home.stat()
    return f"{boot_id()}.{found.st_dev:x}-{found.st_ino:x}"


def machine(now: datetime) -> Machine:
    """This one."""
    return Machine(
        hostname=platform.node(),
        os=_os(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        booted_at=now - timedelta(seconds=boottime()),
    )


def disk(folder: Path) -> Disk:
    """Of the filesystem that the folder lies on. Raises: OSError."""
    found = os.statvfs(folder)
    return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def crond() -> Crond:
    """Which cron runs here, whether or not the worker can rely on it."""
    known = crond_pid()
    pids = [known] if known is not None else _pids()
    for pid in pids:
        name = _name(pid)
        if name == BCRON:
            return Crond.BCRON
        if name in CROND_NAMES:
            return _kind(name, _program(pid, name))
    return Crond.NONE


def _kind(name: str, program: bytes) -> Crond:
    for mark, kind in MARKS:
        if mark in program:
            return kind
    return Crond.DEBIAN if name == "cron" else Crond.OTHER


def _program(pid: int, name: str) -> bytes:
    """The beginning of the program that the process runs; nothing where it can't be read."""
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    # Who may not look into another's process finds the file by its name.
    for path in (PROC / str(pid) / "exe", *([Path(found)] if found is not None else [])):
        try:
            with path.open("rb") as file:
                return file.read(LARGEST)
        except OSError:
            continue
    return b""


def _pids() -> list[int]:
    """Every process but those of containers, which may have a cron of their own."""
    numbers = sorted(int(path.name) for path in PROC.iterdir() if path.name.isdigit())
    return [pid for pid in numbers if _is_here(pid)]


def _is_here(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "ns/pid").readlink() == (PROC / "self/ns/pid").readlink()
    except OSError:  # who may not look into another's process has to believe it
        return True


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _os() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
