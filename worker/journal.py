"""The runs of this node, from the folder that is made before the claim to the end that everyone knows of."""

import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cronkeeper.common.clock import uptime
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import Outcome, RunState, Spec, replace
from cronkeeper.common.settings import Fleet
from cronkeeper.worker import fetched
from cronkeeper.worker.assignment import JobKey, job_key
from cronkeeper.worker.process import Account, Processes
from cronkeeper.worker.run_folder import Plan, RunFolder, Started, Stopped, load_all
from cronkeeper.worker.timeouts import Timeouts, end_of
from cronkeeper.worker.trim import Trim
from cronkeeper.worker.verdict import Verdicts, failed, outcome

log = logging.getLogger(__name__)

MARK_PATIENCE = 5.0
"""Seconds after which an empty `started` file is no longer one that is just being written."""
MAX_TRIES = 3
RESTARTED = "the node was restarted while the run was unfinished"


class Accounts(Protocol):
    """Says which user a job's process belongs to. Raises: CannotStart."""

    def __call__(self, run_as: str | None) -> Account: ...


@dataclass(slots=True)
class Entry:
    """A run here. It waits until it is `cleared`, which says that its claim is known to hold it."""

    folder: RunFolder
    cleared: bool = False
    running: bool = False
    tries: int = 0
    doubtful_since: float | None = None
    outcome: Outcome | None = None

    @property
    def key(self) -> JobKey:
        """Which job it is of."""
        return self.folder.plan.spec.job_id, self.folder.plan.spec.copy

    @property
    def turn(self) -> tuple[list[int], str]:
        """What runs are started in the order of: those of a job as they were claimed."""
        return [int(part) for part in self.folder.plan.token.split(".")], self.folder.plan.run_id


@dataclass(slots=True)
class Journal:
    """All runs of the node that someone has not yet acknowledged."""

    root: Path
    processes: Processes
    files: fetched.Files
    account: Accounts
    boot_id: str
    uptime: Callable[[], float] = uptime
    on_time: timedelta = timedelta(seconds=Fleet().on_time)
    entries: dict[str, Entry] = field(default_factory=dict)
    by_job: defaultdict[JobKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    _unended: set[str] = field(default_factory=set)
    """Those without an outcome: while the API is away there may be very many that have one."""
    _waiting: set[str] = field(default_factory=set)
    """The cleared runs that have no process and no outcome yet."""
    _timeouts: Timeouts = field(init=False)
    _trim: Trim = field(init=False)
    _verdicts: Verdicts = field(init=False)

    def __post_init__(self) -> None:
        self._verdicts = Verdicts(self.boot_id, self.uptime)
        self._timeouts = Timeouts(self.processes, self.uptime)
        self._trim = Trim(self.uptime)

    def load(self, now: datetime) -> None:
        """Find the runs of before this daemon was started: adopt what lives, note what has ended."""
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in load_all(self.root):
            entry = self._add(folder)
            if (noted := folder.outcome) is not None:
                self.settle(entry, noted)
            elif folder.exit is not None or folder.started is not None or folder.given_up:
                self._look(entry, now)

    def prefetch(self, spec: Spec) -> None:
        """Have the job's artifact here before its first tick."""
        if spec.artifact is not None and self.files.path(spec.artifact.sha256) is None:
            self.files.request(spec.artifact.sha256)

    def sweep(self, held: Iterable[Spec]) -> None:
        """Let go of the artifacts that neither these jobs nor the runs here need."""
        specs = [*held, *(entry.folder.plan.spec for entry in self.entries.values())]
        self.files.keep({spec.artifact.sha256 for spec in specs if spec.artifact is not None})

    def make(self, plan: Plan) -> None:
        """Make the run's folder. Raises: NoRoom."""
        self._add(RunFolder.make(self.root, plan))

    def clear(self, run_id: str) -> None:
        """The claim holds the run: it may start."""
        entry = self.entries[run_id]
        entry.cleared = True
        if not entry.running and entry.outcome is None:
            self._waiting.add(run_id)

    def hold_up(self, run_id: str) -> None:
        """The run may not start until it is cleared once more."""
        if self.entries[run_id].doubtful_since is None:
            self._waiting.discard(run_id)

    def drop(self, run_id: str) -> None:
        """Forget the run and its folder."""
        self._waiting.discard(run_id)
        self._timeouts.drop(run_id)
        self._unended.discard(run_id)
        entry = self.entries.pop(run_id)
        self.by_job[entry.key].discard(run_id)
        if not self.by_job[entry.key]:
            del self.by_job[entry.key]
        entry.folder.remove()

    def give_up(self, run_id: str, now: datetime) -> Entry | None:
        """See to it that a run which waits is never started here: returns it where that is its end."""
        entry = self.entries[run_id]
        if entry.running or entry.outcome is not None or entry.doubtful_since is not None:
            return None
        self._waiting.discard(run_id)
        if entry.folder.give_up():
            self._timeouts.drop(run_id)
        self._look(entry, now)
        return entry if entry.outcome is not None else None

    def settle(self, entry: Entry, end: Outcome) -> None:
        """This is how the run has ended."""
        entry.outcome = end
        self._unended.discard(entry.folder.plan.run_id)

    def learn(self, entry: Entry, end: Outcome) -> bool:
        """The claim says that this is the end; True where that is news here."""
        known = entry.outcome
        better = known is None or (known.reason == RESTARTED and end.reason != RESTARTED)
        if entry.running or not better:
            return False
        self.settle(entry, end)
        return True

    def began(self, entry: Entry, now: datetime) -> datetime:
        """When the process was started that goes on."""
        started = entry.folder.started
        return now if started is None else self._verdicts.began(entry.folder, started, now)

    def order_end(self, run_id: str, cause: str) -> None:
        """Have a run end as canceled: told to and then killed, or not started if it has not been yet."""
        entry = self.entries.get(run_id)
        if entry is not None and entry.outcome is None:
            self._timeouts.order(entry.folder, cause)

    def call_off(self, run_id: str, cause: str) -> None:
        """Cancel a run of a tick that waits for its file."""
        plan = self.entries[run_id].folder.plan
        if plan.tick is not None and fetched.is_missing(self.files, plan):
            self.order_end(run_id, cause)

    def start_cleared(self, now: datetime, alone: Container[JobKey] | None = None) -> list[Entry]:
        """Start what may; returns what has a process or an end now. `alone`: these jobs only, without a lease."""
        moved = []
        may = (each for each in self._waiting if alone is None or job_key(each) in alone)
        for run_id in sorted(may, key=lambda each: self.entries[each].turn):
            entry = self.entries[run_id]
            if entry.doubtful_since is not None or not self._verdicts.this_boot(entry.folder):
                self._look(entry, now)
            elif (cause := self._timeouts.ordered(run_id)) is not None:
                self._cancel(entry, cause, now)
            else:
                self._start(entry, now, alone=alone is not None)
            if entry.running or entry.outcome is not None:
                self._waiting.discard(run_id)
                moved.append(entry)
        return moved

    def poll(self, now: datetime) -> list[Entry]:
        """The runs that have ended since the last call; those that have lasted too long are told to end."""
        ended = []
        for run_id in self.processes.ended():
            self._timeouts.forget(run_id)
            entry = self.entries.get(run_id)
            if entry is None:
                continue
            entry.running = False
            self._look(entry, now)
            if entry.outcome is not None:
                ended.append(entry)
            elif not entry.running:
                self._waiting.add(run_id)
        self._timeouts.end_due()
        unended = (self.entries[run_id] for run_id in self._unended)
        self._trim.look(entry.folder for entry in unended if entry.running)
        return ended

    def wait(self) -> float:
        """Seconds until `poll` is wanted because of what goes on."""
        trim = self._trim.wait() if self.processes.count() else math.inf
        return min(self._timeouts.wait(), trim)

    @property
    def taken(self) -> int:
        """How many places are taken: by each run that has not ended, whether it goes on or is yet to be started."""
        return len(self._unended)

    @property
    def waiting(self) -> int:
        """How many cleared runs wait: for their artifact, for room, or for a doubt to be settled."""
        return len(self._waiting)

    def _add(self, folder: RunFolder) -> Entry:
        entry = self.entries[folder.plan.run_id] = Entry(folder)
        self.by_job[entry.key].add(folder.plan.run_id)
        self._unended.add(folder.plan.run_id)
        return entry

    def _start(self, entry: Entry, now: datetime, *, alone: bool) -> None:
        spec = entry.folder.plan.spec
        try:
            script = None
            if spec.artifact is not None:
                script = fetched.script(self.files, entry.folder.plan, self.on_time, now)
                if script is None:
                    return
            self.processes.start(entry.folder, self.account(spec.run_as), script, alone=alone)
        except CronkeeperError as error:
            self.settle(entry, failed(str(error), now))
            return
        entry.running = True
        entry.tries += 1
        self._timeouts.watch(entry.folder, new=True)

    def _cancel(self, entry: Entry, cause: str, now: datetime) -> None:
        """See to it that the run is never started, unless a wrapper has been quicker."""
        if not entry.folder.give_up():
            self._look(entry, now)
            return
        self._timeouts.drop(entry.folder.plan.run_id)
        with contextlib.suppress(OSError):
            entry.folder.note_stopped(Stopped(self.uptime(), None, cause))
        self.settle(entry, outcome(RunState.CANCELED, cause, now))

    def _look(self, entry: Entry, now: datetime) -> None:
        """Work out from the folder what has become of a run that no watched process belongs to."""
        folder = entry.folder
        ended, started = folder.exit, folder.started
        if ended is not None:
            self.settle(entry, self._verdicts.of_exit(folder, started, ended, now))
        elif not self._verdicts.this_boot(folder):
            began = None if started is None else self._verdicts.began(folder, started, now)
            self.settle(entry, replace(outcome(RunState.LOST, RESTARTED, now), started_at=began))
        elif started is not None:
            self._find(entry, started, now)
        elif folder.given_up and (stopped := folder.stopped) is not None:
            self.settle(entry, outcome(*end_of(folder.plan.spec, stopped), now))
        elif folder.given_up:
            left = "the job left the node before the run was started"
            self.settle(entry, outcome(RunState.LOST, left, now))
        elif (folder.path / "started").exists():
            self._doubt(entry, now)
        elif entry.tries >= MAX_TRIES:
            self.settle(entry, failed("its process could not be marked as started; is the disk full?", now))

    def _find(self, entry: Entry, started: Started, now: datetime) -> None:
        if self.processes.adopt(entry.folder, started.process):
            entry.cleared = entry.running = True
            self._timeouts.watch(entry.folder, new=False)
            return
        ended = entry.folder.exit  # read again, now that the process is known to be gone
        if ended is not None:
            self.settle(entry, self._verdicts.of_exit(entry.folder, started, ended, now))
            return
        told = failed("its process was killed together with what keeps its exit code", now)
        if (stopped := entry.folder.stopped) is not None:
            told = outcome(*end_of(entry.folder.plan.spec, stopped), now)
        self.settle(entry, replace(told, started_at=self._verdicts.began(entry.folder, started, now)))

    def _doubt(self, entry: Entry, now: datetime) -> None:
        clock = self.uptime()
        if entry.doubtful_since is None:
            entry.cleared, entry.doubtful_since = True, clock
            self._waiting.add(entry.folder.plan.run_id)
        elif clock - entry.doubtful_since > MARK_PATIENCE:
            self.settle(entry, failed("its process could not be marked as started; is the disk full?", now))
