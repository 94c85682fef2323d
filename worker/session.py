"""The processes of a run: those of its session, which its wrapper leads. Told from strangers, and signalled."""

import contextlib
import os
import signal
from pathlib import Path

from cronkeeper.worker.run_folder import ProcessId, parse_stat


def alive(process: ProcessId) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    stat = _stat(process.pid)
    return stat is not None and parse_stat(stat) == process and _fields(stat)[0] != "Z"


def send(leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
    """Signal every process of the session; none where its leader is gone, for others may have its number then.

    They are found one by one, since programs such as timeout(1) make groups of their own. A process that has left
    the session is not found, and one that took on a user whom we may not signal is left alone. The leader is first,
    for it must know that an end was asked for before its child ends; but it is killed last.
    """
    found = [
        pid
        for entry in os.scandir("/proc")
        if entry.name.isdigit() and _belongs(pid := int(entry.name), leader)
    ]
    killing = number == signal.SIGKILL
    for pid in sorted(found, key=lambda pid: (pid == leader.pid) is killing):
        if pid != leader.pid or not spare_leader:
            _send(pid, leader, number)


def _send(pid: int, leader: ProcessId, number: int) -> None:
    """Signal a process through a pidfd, once it is sure that this holds one of the session."""
    with contextlib.suppress(ProcessLookupError, PermissionError), contextlib.ExitStack() as stack:
        descriptor = os.pidfd_open(pid)
        stack.callback(os.close, descriptor)
        if _belongs(pid, leader) and alive(leader):
            signal.pidfd_send_signal(descriptor, number)


def _belongs(pid: int, leader: ProcessId) -> bool:
    stat = _stat(pid)
    return stat is not None and int(_fields(stat)[3]) == leader.pid


def _stat(pid: int) -> str | None:
    try:
        with Path(f"/proc/{pid}/stat").open("rb", buffering=0) as file:
            return file.read(4096).decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last where others are hidden
        return None


def _fields(stat: str) -> list[str]:
    """What follows the command: state, parent, group, session (proc(5))."""
    return stat.rpartition(")")[2].split()
