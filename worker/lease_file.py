"""The lease's deadlines on the disk: for the wrapper of each run, and for whoever has to stop runs in the end.

Two lines, each whole seconds of /proc/uptime or `never`: until when a wrapper may start something; and when the
last of the runs must have been stopped that others may give up by then (see `fence`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

from cronkeeper.common.coordination.lease import Lease

NEVER = "never"
STOP_MARGIN = 5.0
"""Seconds before `run_lease` is over in which runs must have ended that others may begin again by then."""


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
    """Replace it. A worker that has not renewed anything yet leaves the second one as it is."""
    stop = deadlines.stop if deadlines.stop != -math.inf else read(path).stop
    new = path.with_name(f".{path.name}.new")
    new.write_text(f"{_text(deadlines.start)}\n{_text(stop)}\n")
    new.replace(path)


def read(path: Path) -> Deadlines:
    """What it says; `never` where there is none, or an older version's without a second line."""
    try:
        lines = path.read_text().split()
    except FileNotFoundError:
        lines = []
    start, stop, *_ = [*map(_number, lines), math.inf, math.inf]
    return Deadlines(start, stop)


def _text(uptime: float) -> str:
    return NEVER if uptime == math.inf else str(math.floor(max(0.0, uptime)))


def _number(text: str) -> float:
    return math.inf if text == NEVER else float(text)
