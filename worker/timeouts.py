"""Ends the runs that last too long or are replaced; what their folders say is gone on with by the next daemon."""

import logging
import math
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from cronkeeper.common.model import RunState, Spec
from cronkeeper.worker.run_folder import ProcessId, RunFolder, Stopped

log = logging.getLogger(__name__)

LOOK_AGAIN = 0.25
"""Seconds between two looks for processes that were begun while the others were killed."""
AT_ONCE = 10
"""How many runs are dealt with in one round: each takes a look at all processes of the machine."""
ISOLATED = "stopped, since its node had not reached ZooKeeper for too long"
"""Why a run was ended that others have given up, or may have (see `fence`)."""
LEADERS_TIME = 1.0
"""Seconds that the wrapper has to write the exit code once all others were killed; then it is killed itself."""


class Signals(Protocol):
    """What can signal the processes of a run."""

    def send(
        self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False
    ) -> None: ...


@dataclass(slots=True)
class Timeouts:
    """The runs in progress that are to be ended some time, and when to look at each; times are uptimes."""

    processes: Signals
    uptime: Callable[[], float]
    _looks: dict[str, tuple[float, RunFolder]] = field(default_factory=dict)
    _orders: dict[str, str] = field(default_factory=dict)
    """Why the runs that are to end before their timeout are."""

    def watch(self, folder: RunFolder, *, new: bool) -> None:
        """Begin to count: a new one is due after its timeout, and one that was adopted may be at once."""
        timeout = folder.plan.spec.timeout
        if timeout is not None or (not new and folder.stopped is not None):
            wait = timeout if new and timeout is not None else 0.0
            self._looks[folder.plan.run_id] = self.uptime() + wait, folder

    def order(self, folder: RunFolder, cause: str) -> None:
        """Have the run end now; the first order counts."""
        run_id = folder.plan.run_id
        if run_id not in self._orders:
            self._orders[run_id] = cause
            self._looks[run_id] = self.uptime(), folder

    def ordered(self, run_id: str) -> str | None:
        """Why the run is to end; None where that was not ordered."""
        return self._orders.get(run_id)

    def forget(self, run_id: str) -> None:
        """Its process has ended."""
        self._looks.pop(run_id, None)

    def drop(self, run_id: str) -> None:
        """The run is over."""
        self._looks.pop(run_id, None)
        self._orders.pop(run_id, None)

    def wait(self) -> float:
        """Seconds until something may be due; infinite where nothing will be."""
        if not self._looks:
            return math.inf
        return max(0.0, min(look for look, _ in self._looks.values()) - self.uptime())

    def end_due(self) -> None:
        """Signal what is due, the longest due first; `wait` tells of what is left."""
        if not self._looks:
            return
        clock = self.uptime()
        due = sorted((look, run_id) for run_id, (look, _) in self._looks.items() if look <= clock)
        for _, run_id in due[:AT_ONCE]:
            _, folder = self._looks[run_id]
            self._looks[run_id] = self._act(folder, clock), folder

    def _act(self, folder: RunFolder, clock: float) -> float:
        """Do what is due now; returns when to look again."""
        spec, started = folder.plan.spec, folder.started
        if started is None:
            return clock + LOOK_AGAIN
        stopped = folder.stopped
        if stopped is None:
            cause = self._orders.get(folder.plan.run_id)
            over = started.uptime + (spec.timeout if spec.timeout is not None else math.inf)
            if cause is None and clock < over:
                return over
            stopped = Stopped(clock, None, cause)
            log.info("run %s is told to end: %s", folder.plan.run_id, end_of(spec, stopped)[1])
            self._note(folder, stopped)
            self.processes.send(folder, started.process, signal.SIGTERM)
            return clock + spec.grace
        if clock < stopped.asked + spec.grace:
            return stopped.asked + spec.grace
        self._kill(folder, stopped, started.process, clock)
        return clock + LOOK_AGAIN

    def _kill(self, folder: RunFolder, stopped: Stopped, leader: ProcessId, clock: float) -> None:
        if stopped.killed is None:
            log.warning("run %s has not ended in its grace and is killed", folder.plan.run_id)
            self._note(folder, replace(stopped, killed=clock))
        late = stopped.killed is not None and clock >= stopped.killed + LEADERS_TIME
        self.processes.send(folder, leader, signal.SIGKILL, spare_leader=not late)

    def _note(self, folder: RunFolder, stopped: Stopped) -> None:
        """The mark comes before the signal, for else an end might look as if nobody had asked for it."""
        try:
            folder.note_stopped(stopped)
        except OSError as error:
            log.error("that run %s is ended can't be noted: %s", folder.plan.run_id, error)


def end_of(spec: Spec, stopped: Stopped) -> tuple[RunState, str]:
    """What becomes of a run that ended after it was told to, and the reason."""
    if stopped.cause == ISOLATED:
        state, told = RunState.LOST, ISOLATED
    elif stopped.cause is not None:
        state, told = RunState.CANCELED, stopped.cause
    else:
        state, told = RunState.TIMED_OUT, f"ended after its timeout of {spec.timeout:g} s"
    if stopped.killed is not None:
        told += f"; killed {round(stopped.killed - stopped.asked, 1):g} s later"
    return state, told
