"""Stops the runs that others may give up: `python -m cronkeeper.worker.fence HOME`, started by the guard.

When a node has not reached ZooKeeper for `run_lease`, the leader takes its runs for lost, and those of jobs that
say `on_node_loss: rerun` begin again elsewhere. So here they must have ended by then, as those of jobs that say
`when_isolated: stop`. That is this program's business and not the daemon's, which may be dead, or hang.
It ends when there is nothing left that it might have to stop.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cronkeeper.common.clock import same_boot, uptime
from cronkeeper.common.model import OnNodeLoss, Spec, WhenIsolated
from cronkeeper.worker import lease_file, session
from cronkeeper.worker.machine import boot_of
from cronkeeper.worker.run_folder import ProcessId, RunFolder, whole
from cronkeeper.worker.timeouts import ISOLATED, Signals, Timeouts

LOOK_EVERY = 1.0
"""Seconds between looks at the deadline, which every renewal of the lease moves on."""


def stops(spec: Spec) -> bool:
    """Whether the job's runs are to end on a node that is cut off."""
    return spec.on_node_loss is OnNodeLoss.RERUN or spec.when_isolated is WhenIsolated.STOP


@dataclass(slots=True)
class Fence:
    """One node's; what it touches comes in, so that it can be simulated."""

    home: Path
    processes: Signals
    boot_id: str
    alive: Callable[[ProcessId], bool] = session.alive
    uptime: Callable[[], float] = uptime
    _timeouts: Timeouts = field(init=False)

    def __post_init__(self) -> None:
        self._timeouts = Timeouts(self.processes, self.uptime)

    def step(self) -> float | None:
        """One look. Returns after how many seconds the next one is wanted; None: there is nothing to stop."""
        deadlines, now = lease_file.read(self.home / "lease"), self.uptime()
        going_on = [folder for folder in whole(self.home / "runs") if self._concerns(folder)]
        if not going_on or deadlines.stop == math.inf:
            return None
        for folder in going_on:
            begin = max(deadlines.start, deadlines.stop - folder.plan.spec.grace)
            if now >= begin:
                self._timeouts.order(folder, ISOLATED)
        self._timeouts.end_due()
        return max(0.0, min(LOOK_EVERY, self._timeouts.wait()))

    def _concerns(self, folder: RunFolder) -> bool:
        here = same_boot(folder.plan.boot_id, self.boot_id) and folder.exit is None
        if not here or not stops(folder.plan.spec):
            return False
        started = folder.started
        return started is not None and self.alive(started.process)


class _Here:
    """The processes of this machine."""

    def send(self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
        """Signal all processes of a run, or all but the wrapper, which leads them."""
        session.send(leader, number, spare_leader=spare_leader)


def main(home: Path) -> None:
    """Look until there is nothing left to stop."""
    fence = Fence(home, _Here(), boot_of(home))
    while (wait := fence.step()) is not None:
        time.sleep(wait)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
