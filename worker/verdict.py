"""What became of a run, worked out from its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common.clock import same_boot
from cronkeeper.common.model import Outcome, RunState
from cronkeeper.worker.run_folder import Exit, RunFolder, Started, at_uptime
from cronkeeper.worker.timeouts import end_of


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of this boot's runs the uptimes in their folders tell when they began and ended."""

    boot_id: str
    uptime: Callable[[], float]

    def of_exit(self, folder: RunFolder, started: Started | None, ended: Exit, now: datetime) -> Outcome:
        """What a run has come to that has left its exit code."""
        state = RunState.SUCCEEDED if ended.code == 0 else RunState.FAILED
        reason = f"killed by signal {ended.code - 128}" if 128 < ended.code <= 192 else None
        stopped = folder.stopped
        if stopped is not None and ended.uptime >= stopped.asked:
            state, reason = end_of(folder.plan.spec, stopped)
        begin, end = self.began(folder, started, now), now
        if self.this_boot(folder):
            end = at_uptime(ended.uptime, now, self.uptime())
        # What a shell can read of the uptime is only good to 10 ms: keep the order that is known.
        return Outcome(
            state=state, exit_code=ended.code, reason=reason, started_at=begin, ended_at=max(begin, end)
        )

    def began(self, folder: RunFolder, started: Started | None, now: datetime) -> datetime:
        """When its process was started. After a reboot the time of its mark tells, where there is one."""
        if started is not None and self.this_boot(folder):
            return max(folder.plan.claimed_at, at_uptime(started.uptime, now, self.uptime()))
        marked_at = folder.marked_at
        return folder.plan.claimed_at if marked_at is None else max(folder.plan.claimed_at, marked_at)

    def this_boot(self, folder: RunFolder) -> bool:
        """Whether the machine has not been restarted since."""
        return same_boot(folder.plan.boot_id, self.boot_id)


def failed(reason: str, now: datetime) -> Outcome:
    """It could not be started, or its end is not known."""
    return outcome(RunState.FAILED, reason, now)


def outcome(state: RunState, reason: str, now: datetime) -> Outcome:
    """An end without an exit code."""
    return Outcome(state=state, exit_code=None, reason=reason, started_at=None, ended_at=now)
