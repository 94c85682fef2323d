"""The machine's processes: which belong together, and in which state they are."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

TIMEOUT = 10.0


def in_group(leader: int) -> list[int]:
    """The processes of a process group, its leader first."""
    found = [pid for pid in _all() if (stat := _stat(pid)) is not None and int(stat[2]) == leader]
    return sorted(found, key=lambda pid: (pid != leader, pid))


def in_space_of(init: int) -> list[int]:
    """The processes in the PID namespace of a process, that process first."""
    space = _space(init)
    found = [pid for pid in _all() if space is not None and _space(pid) == space]
    return sorted(found, key=lambda pid: (pid != init, pid))


def children(pid: int) -> list[int]:
    """The children of a process; none where it has ended."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def number_inside(pid: int) -> int | None:
    """How a process is numbered in its own PID namespace; None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.partition("\nNSpid:")[2].partition("\n")[0].split()[-1])


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    return _state(pid) == "T"


def stop_all(pids: Callable[[], list[int]]) -> None:
    """SIGSTOP processes and whatever they start meanwhile, and return when all of them have stopped.

    One that waits in the kernel (D) comes no further either: after vfork, for a child that has been stopped too.
    """
    deadline = time.monotonic() + TIMEOUT
    told: set[int] = set()
    while moving := [pid for pid in pids() if _state(pid) not in (None, "T", *("D" if pid in told else ""))]:
        send(moving, signal.SIGSTOP)
        told.update(moving)
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {TIMEOUT} s for the processes {moving} to stop")
        time.sleep(0.01)


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _all() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _state(pid: int) -> str | None:
    """The letter of a process's state; None where it has ended."""
    stat = _stat(pid)
    return stat[0] if stat is not None else None


def _stat(pid: int) -> list[str] | None:
    """What stands behind a process's name in /proc/pid/stat: state, parent, group, …; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields if fields[0] not in ("Z", "X") else None


def _space(pid: int) -> str | None:
    """What names the PID namespace of a process; None where it has ended, or where we may not look."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
