"""Ends the runs that last too long, by what their folders say: so it goes on where an earlier daemon stopped."""

import logging
import math
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from cronkeeper.common.model import Spec
from cronkeeper.worker.process import Processes
from cronkeeper.worker.run_folder import ProcessId, RunFolder, Stopped

log = logging.getLogger(__name__)

LOOK_AGAIN = 0.25
"""Seconds between two looks for processes that were begun while the others were killed."""
AT_ONCE = 10
"""How many runs are dealt with in one round: each takes a look at all processes of the machine."""
LEADERS_TIME = 1.0
"""Seconds that the wrapper has to write the exit code once all others were killed; then it is killed itself."""


@dataclass(slots=True)
class Timeouts:
    """The runs in progress that have a timeout, and when to look at each of them; times are uptimes."""

    processes: Processes
    uptime: Callable[[], float]
    _looks: dict[str, tuple[float, RunFolder]] = field(default_factory=dict)

    def watch(self, folder: RunFolder, *, new: bool) -> None:
        """Begin to count: a new one is due after its timeout, and one that was adopted may be at once."""
        timeout = folder.plan.spec.timeout
        if timeout is not None:
            self._looks[folder.plan.run_id] = self.uptime() + (timeout if new else 0.0), folder

    def forget(self, run_id: str) -> None:
        """The run has ended."""
        self._looks.pop(run_id, None)

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
        assert spec.timeout is not None
        if started is None:
            return clock + LOOK_AGAIN
        if clock < started.uptime + spec.timeout:
            return started.uptime + spec.timeout
        stopped = folder.stopped
        if stopped is None:
            log.info("run %s has lasted %g s and is told to end", folder.plan.run_id, spec.timeout)
            self._note(folder, clock)
            self.processes.send(folder, started.process, signal.SIGTERM)
            return clock + spec.grace
        if clock < stopped.asked + spec.grace:
            return stopped.asked + spec.grace
        self._kill(folder, started.process, clock)
        return clock + LOOK_AGAIN

    def _kill(self, folder: RunFolder, leader: ProcessId, clock: float) -> None:
        stopped = folder.stopped
        assert stopped is not None
        if stopped.killed is None:
            log.warning("run %s has not ended in its grace and is killed", folder.plan.run_id)
            self._note(folder, stopped.asked, clock)
        late = stopped.killed is not None and clock >= stopped.killed + LEADERS_TIME
        self.processes.send(folder, leader, signal.SIGKILL, spare_leader=not late)

    def _note(self, folder: RunFolder, asked: float, killed: float | None = None) -> None:
        """The mark comes before the signal, for else an end might look as if nobody had asked for it."""
        try:
            folder.note_stopped(asked, killed)
        except OSError as error:
            log.error("that run %s is ended can't be noted: %s", folder.plan.run_id, error)


def timed_out_reason(spec: Spec, stopped: Stopped) -> str:
    """What is said of a run that was ended so."""
    told = f"ended after its timeout of {spec.timeout:g} s"
    if stopped.killed is None:
        return told
    return f"{told}; killed {round(stopped.killed - stopped.asked, 1):g} s later"
