"""The lease's deadlines on the disk: for the wrapper of each run, and for whoever has to stop runs in the end.

Two lines, each whole seconds of /proc/uptime or `never`: until when a wrapper may start something; and when the
last of the runs must have been stopped that others may give up by then (see `fence`).

A full disk must not keep a healthy node from renewing it, for then the fence would stop its runs. So a second file
lies beside it, as long and with its block; that is written, and then the two change their names.
"""

import ctypes
import errno
import math
import os
from dataclasses import dataclass
from pathlib import Path

from cronkeeper.common.coordination.lease import Lease

NEVER = "never"
WIDTH = 15
"""Of each line. Whoever stood still between opening the file and reading it may find it being written: then
he reads no digit in another's place, and so at worst a deadline that is too early."""
STOP_MARGIN = 5.0
"""Seconds before `run_lease` is over in which runs must have ended that others may begin again by then."""
_HERE = -100  # AT_FDCWD
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Uptimes; infinity: never, minus infinity: it was never renewed."""

    start: float
    stop: float


def of(lease: Lease, run_lease: float, uptime: float) -> Deadlines:
    """The deadlines of a lease at this uptime."""
    since = uptime - lease.now()
    return Deadlines(since + lease.deadline, since + lease.answered_at + run_lease - STOP_MARGIN)


def write(path: Path, deadlines: Deadlines) -> None:
    """Replace it. A worker that has not renewed anything yet leaves the second one as it is. Raises: OSError."""
    stop = deadlines.stop if deadlines.stop != -math.inf else read(path).stop
    spare = path.with_name(f".{path.name}.new")
    _fill(spare, f"{_text(deadlines.start):>{WIDTH}}\n{_text(stop):>{WIDTH}}\n".encode())
    if not _exchange(spare, path):
        spare.replace(path)


def read(path: Path) -> Deadlines:
    """What it says; `never` where there is none, or an older version's without a second line."""
    try:
        lines = path.read_text().split()
    except FileNotFoundError:
        lines = []
    start, stop, *_ = [*map(_number, lines), math.inf, math.inf]
    return Deadlines(start, stop)


def _fill(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if os.pwrite(descriptor, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Let two files change their names in one step (rename(2)); False where one is missing, or it can't be done."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(libc.renameat2(_HERE, names[0], _HERE, names[1], _RENAME_EXCHANGE) == 0)


def _text(uptime: float) -> str:
    return NEVER if uptime == math.inf else str(math.floor(max(0.0, uptime)))


def _number(text: str) -> float:
    return math.inf if text == NEVER else float(text)
