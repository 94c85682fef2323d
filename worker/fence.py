"""Stops the runs that others may give up: `python -m cronkeeper.worker.fence HOME`, started by the guard.

When a node has not reached ZooKeeper for `run_lease`, the leader takes its runs for lost, and those of jobs that
say `on_node_loss: rerun` begin again elsewhere. So here they must have ended by then, as those of jobs that say
`when_isolated: stop`. That is this program's business and not the daemon's, which may be dead, or hang.
It ends when there is nothing left that it might have to stop, or when another one has begun on this home: a guard
that is stopped leaves its own behind, and the next guard starts another.
"""

import logging
import math
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cronkeeper.common.attempts import fenced
from cronkeeper.common.clock import same_boot, uptime
from cronkeeper.common.model import replace
from cronkeeper.worker import lease_file, session
from cronkeeper.worker.machine import boot_of
from cronkeeper.worker.run_folder import ProcessId, RunFolder, whole
from cronkeeper.worker.timeouts import ISOLATED, Signals, Timeouts

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between looks at the deadline, which every renewal of the lease moves on."""
NEWEST = "fence"
"""The file in the worker's home that names the fence which began last."""


@dataclass(slots=True)
class Fence:
    """One node's; what it touches comes in, so that it can be simulated."""

    home: Path
    processes: Signals
    boot_id: str
    alive: Callable[[ProcessId], bool] = session.alive
    uptime: Callable[[], float] = uptime
    _name: str | None = None
    """What it has written down as its own, to be told from the next one."""
    _timeouts: Timeouts = field(init=False)
    _passed: set[str] = field(default_factory=set)
    """What never has to be stopped: while the API is away there may be very many runs that have ended."""

    def __post_init__(self) -> None:
        self._timeouts = Timeouts(self.processes, self.uptime)

    def take_over(self) -> None:
        """Have the one that came before end, which sees this at its next look."""
        name = uuid.uuid4().hex
        try:
            (self.home / NEWEST).write_text(name)
        except OSError as error:  # a full disk: both look, and both end the same runs
            log.warning("an older fence may go on beside this one: %s", error)
        else:
            self._name = name

    def step(self) -> float | None:
        """One look. Returns after how many seconds the next one is wanted; None: nothing is left to stop for it."""
        if self._is_followed():
            return None
        deadlines, now = lease_file.read(self.home / "lease"), self.uptime()
        folders = whole(self.home / "runs", but=self._passed)
        going_on = [folder for folder in folders if self._concerns(folder)]
        if not going_on or deadlines.stop == math.inf:
            return None
        for folder in going_on:
            begin = max(deadlines.start, deadlines.stop - folder.plan.spec.grace)
            if now >= begin:
                self._timeouts.order(_hurried(folder, deadlines.stop - now), ISOLATED)
        self._timeouts.end_due()
        return max(0.0, min(LOOK_EVERY, self._timeouts.wait()))

    def _is_followed(self) -> bool:
        """Whether another one has taken over: an empty file is one that is just being written."""
        if self._name is None:
            return False
        try:
            newest = (self.home / NEWEST).read_text()
        except OSError:
            return False
        return newest not in ("", self._name)

    def _concerns(self, folder: RunFolder) -> bool:
        here = same_boot(folder.plan.boot_id, self.boot_id) and folder.exit is None
        if not here or not fenced(folder.plan.spec):
            self._passed.add(folder.plan.run_id)
            return False
        started = folder.started
        return started is not None and self.alive(started.process)


def _hurried(folder: RunFolder, left: float) -> RunFolder:
    """The run with no more grace than is left: of a machine that stood still there may be none."""
    spec = folder.plan.spec
    hurried = replace(spec, grace=max(0.0, min(spec.grace, left)))
    return replace(folder, plan=replace(folder.plan, spec=hurried))


class _Here:
    """The processes of this machine."""

    def send(self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
        """Signal all processes of a run, or all but the wrapper, which leads them."""
        session.send(leader, number, spare_leader=spare_leader)


def main(home: Path) -> None:
    """Look until there is nothing left to stop."""
    fence = Fence(home, _Here(), boot_of(home))
    fence.take_over()
    while (wait := fence.step()) is not None:
        time.sleep(wait)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
