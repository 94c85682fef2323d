"""The guard of a machine, as a process of its own: the product's fence on its folders, its lease and its uptime."""

import math
from dataclasses import dataclass
from datetime import datetime

from support.fakes import Machine

from cronkeeper.worker import lease_file
from cronkeeper.worker.fence import LOOK_EVERY, Fence
from cronkeeper.worker.run_folder import ProcessId, RunFolder


@dataclass
class Guard:
    """It looks once a second while the lease is over, whatever its daemon does."""

    machine: Machine
    _fence: Fence | None = None

    def step(self, _now: datetime) -> float:
        """Returns after how many seconds the next look is wanted."""
        deadlines, uptime = lease_file.read(self.machine.home / "lease"), self.machine.time()
        if self._fence is None and math.isfinite(deadlines.start) and uptime < deadlines.start:
            return max(LOOK_EVERY, deadlines.start - uptime)
        if self._fence is None:
            machine = self.machine
            self._fence = Fence(machine.home, self, machine.boot_id, self._alive, machine.time)
        wait = self._fence.step()
        if wait is None:  # the program has ended
            self._fence = None
            return LOOK_EVERY
        return wait

    def send(self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
        """Signal a command, as `session.send` does."""
        found = self.machine.running.get(folder.plan.run_id)
        if found is not None and found.id == leader:
            self.machine.signal(folder.plan.run_id, number)

    def _alive(self, process: ProcessId) -> bool:
        return any(each.id == process for each in self.machine.running.values())
