"""The edges of a daemon, faked: clock, processes, disk, the way to the API; and trouble on demand."""

import contextlib
import math
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.errors import CronkeeperError, Unavailable
from cronkeeper.common.model import Report, decode, encode
from cronkeeper.common.store.store import Store
from cronkeeper.worker.assignment import Held
from cronkeeper.worker.pace import Pace
from cronkeeper.worker.process import Account, CannotStart, Processes
from cronkeeper.worker.reporter import Reporter
from cronkeeper.worker.run_folder import Plan, ProcessId, RunFolder
from cronkeeper.worker.uploads import Done

T = TypeVar("T")

BEGIN = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
NO_SUCH_PID = 2**22
"""Above what Linux gives to any process."""


@dataclass
class Time:
    """The wall's clock and the lease's, which tests alone move on."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds - 1000.0)

    def wall(self) -> float:
        """`now`, in seconds since 1970."""
        return self.now.timestamp()


@dataclass
class Bell:
    """A waker that no thread waits for."""

    rung: bool = False

    def set(self) -> None:
        self.rung = True


class Crash(BaseException):
    """The daemon that made the call is gone."""


Bring = Callable[[str, Callable[[], T]], T]
"""What becomes of the call that trouble comes to, given its name and what would carry it out."""


class Trouble:
    """Counts the calls that leave the daemons while it is armed, and is brought to one of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._at: int | None = None
        self._bring: Bring[Any] | None = None
        self._always = False

    def arm(self, at: int | None, bring: Bring[Any]) -> None:
        """From now on count, and bring it to the call of that number; None: only count."""
        self.calls, self._at, self._bring, self._always = [], at, bring, False

    def always(self, bring: Bring[Any]) -> None:
        """From now on bring it to every call."""
        self.calls, self._at, self._bring, self._always = [], None, bring, True

    def disarm(self) -> list[str]:
        """No more trouble. Returns the names of the calls that were counted."""
        self._bring, self._always = None, False
        return self.calls

    def __call__(self, call: str, carry_out: Callable[[], T]) -> T:
        if self._bring is None:
            return carry_out()
        self.calls.append(call)
        if not self._always and len(self.calls) - 1 != self._at:
            return carry_out()
        trouble: T = self._bring(call, carry_out)
        return trouble


def lose_call(call: str, carry_out: Callable[[], T]) -> T:
    """It never arrives."""
    if call in ("start", "disk"):
        return carry_out()
    raise Unavailable("the call was lost")


def lose_reply(call: str, carry_out: Callable[[], T]) -> T:
    """It is carried out, or refused, and nobody hears of it."""
    if call in ("start", "disk"):
        return carry_out()
    with contextlib.suppress(CronkeeperError):
        carry_out()
    raise Unavailable("the reply was lost")


def crash_before(call: str, carry_out: Callable[[], T]) -> T:
    """The daemon ends just before the call."""
    raise Crash


def crash_after(call: str, carry_out: Callable[[], T]) -> T:
    """The daemon ends just after the call."""
    with contextlib.suppress(CronkeeperError):
        carry_out()
    raise Crash


class TroubledStore(Store):
    """The same database as another store, on a way with trouble."""

    def __init__(self, store: Store, trouble: Trouble) -> None:
        self._store = store
        self._trouble = trouble
        self.url_for_people = store.url_for_people

    def transaction(self, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        return self._trouble("sql", lambda: self._store.transaction(work, writes=writes))


@dataclass
class Command:
    """A command that was begun, as its machine remembers it for ever; times are those of the lease's clock."""

    plan: Plan
    began: float
    ended: float | None = None
    exit_code: int | None = None
    told: bool = False
    """Whether it was told to end, before it had ended by itself."""


@dataclass
class Process:
    """A wrapper with its command."""

    id: ProcessId
    folder: RunFolder
    ends_at: float
    exit_code: int
    command: Command


@dataclass
class Machine:
    """A host: what is left of it when its daemon has died. `commands` is its memory of every one it began."""

    name: str
    home: Path
    time: Time
    boot_id: str = "boot-1"
    max_running: int = 1000
    run_seconds: float = 5.0
    lasts: Callable[[Plan], float] | None = None
    """How many seconds a command takes, where they are not all alike."""
    exit_code: int = 0
    exits: Callable[[Plan], int] | None = None
    """With which code a command ends, where they are not all alike."""
    stubborn: bool = False
    """Whether its commands go on after SIGTERM."""
    labels: dict[str, str] = field(default_factory=dict)
    """What its configuration says of it: that counts once it is read, by a new daemon or after SIGHUP."""
    configuration_error: str | None = None
    hung_up: bool = False
    """Whether its daemon was sent SIGHUP, and has not seen to it yet."""
    capacity: int = 0
    """As `labels`."""
    filed: set[int] = field(default_factory=set)
    running: dict[str, Process] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    crowd: int = 0
    """How many commands have gone on at once, at the most."""
    wall_offset: float = 0.0
    """Seconds that its clock is ahead of everyone else's."""
    signals: list[tuple[str, int]] = field(default_factory=list)

    def wall(self) -> float:
        """Its own clock, in seconds since 1970."""
        return self.time.wall() + self.wall_offset

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def starts(self) -> list[str]:
        """The runs whose commands it began, in that order."""
        return [command.plan.run_id for command in self.commands]

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.runs.iterdir()) if self.runs.exists() else []

    def wrap(self, folder: RunFolder) -> None:
        """What wrapper.sh does while the lease holds."""
        process = ProcessId(NO_SUCH_PID + len(self.commands), 1)
        try:
            with (folder.path / "started").open("x") as file:
                file.write(f"{process.pid} (sh) S {'0 ' * 18}{process.start_time} 0 {self.time.seconds}\n")
            os.utime(folder.path / "started", (self.wall(), self.wall()))
        except (FileExistsError, FileNotFoundError):
            return
        self.commands.append(command := Command(folder.plan, self.time.seconds))
        ends_at = self.time.seconds + (self.run_seconds if self.lasts is None else self.lasts(folder.plan))
        code = self.exit_code if self.exits is None else self.exits(folder.plan)
        self.running[folder.plan.run_id] = Process(process, folder, ends_at, code, command)
        self.crowd = max(self.crowd, len(self.running))

    def let_end(self) -> bool:
        """End the commands whose time has come; True where there were any."""
        over = [one for one, process in self.running.items() if process.ends_at <= self.time.seconds]
        for run_id in over:
            self.end(run_id)
        return bool(over)

    def end(self, run_id: str) -> None:
        """End a command."""
        process = self.running.pop(run_id)
        process.command.ended, process.command.exit_code = self.time.seconds, process.exit_code
        path = process.folder.path / "exit"
        if path.exists():
            path.write_text(f"{process.exit_code} {self.time.seconds:.2f}\n")

    def signal(self, run_id: str, number: int) -> None:
        """Signal a command, which is about to end then unless it is stubborn."""
        self.signals.append((run_id, number))
        process = self.running[run_id]
        process.command.told = True
        if number == signal.SIGKILL or not self.stubborn:
            process.ends_at, process.exit_code = self.time.seconds, 128 + number

    def reboot(self) -> None:
        """Every process is gone, and none has left an exit code."""
        for process in self.running.values():
            process.command.ended = self.time.seconds
        self.running.clear()
        self.boot_id += "+1"


class FakeProcesses(Processes):
    """One daemon's view of its machine's processes."""

    def __init__(self, machine: Machine, lease: Lease, trouble: Trouble) -> None:
        self._machine = machine
        self._lease = lease
        self._trouble = trouble
        self._watched: set[str] = set()

    def start(self, folder: RunFolder, account: Account, script: Path | None, *, alone: bool = False) -> None:
        self._watched.add(folder.plan.run_id)
        self._trouble("start", lambda: self._wrap(folder, alone))

    def _wrap(self, folder: RunFolder, alone: bool) -> None:
        """The wrapper looks at the lease by itself, however long its daemon stood still before it made it."""
        if alone or self._lease.may_act(self._machine.time()):
            self._machine.wrap(folder)

    def adopt(self, folder: RunFolder, process: ProcessId) -> bool:
        found = self._machine.running.get(folder.plan.run_id)
        if found is None or found.id != process:
            return False
        self._watched.add(folder.plan.run_id)
        return True

    def ended(self) -> list[str]:
        gone = sorted(self._watched - self._machine.running.keys())
        self._watched -= set(gone)
        return gone

    def send(self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
        found = self._machine.running.get(folder.plan.run_id)
        if found is not None and found.id == leader:
            self._machine.signal(folder.plan.run_id, number)

    def count(self) -> int:
        return len(self._watched)


@dataclass
class FakeSpool:
    """What cron filed on a machine."""

    machine: Machine

    def take(self) -> set[int]:
        filed, self.machine.filed = self.machine.filed, set()
        return filed


@dataclass
class FakeTable:
    """A crontab that nobody reads."""

    trusted: bool = False
    jobs: list[int] = field(default_factory=list)
    _dirty: bool = True

    def changed(self) -> None:
        self._dirty = True

    def keep(self, held: Iterable[Held], now: datetime, clock: float) -> None:
        if self._dirty:
            self.jobs = sorted(one.name.job_id for one in held)
            self._dirty = False

    def wait(self, clock: float) -> float:
        return math.inf

    def clear(self) -> None:
        self.jobs = []


@dataclass
class FakeFiles:
    """Artifacts: each is here once it is put into `here`, or can't be fetched for the reason in `errors`."""

    here: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, CronkeeperError] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)
    kept: set[str] | None = None

    def path(self, sha256: str) -> Path | None:
        return self.here.get(sha256)

    def request(self, sha256: str) -> None:
        self.requested.append(sha256)

    def error(self, sha256: str) -> CronkeeperError | None:
        return self.errors.get(sha256)

    def keep(self, in_use: set[str]) -> None:
        self.kept = in_use


class FakeReporter(Reporter):
    """The queue of reports without its thread: `deliver` hands a batch over, as JSON."""

    def __init__(self, send: Callable[[Sequence[Report]], Sequence[str]], notify: Callable[[], None]) -> None:
        super().__init__(
            lambda batch: send(decode(encode(list(batch)), list[Report])), notify, Pace(lambda: 1.0)
        )
        self.bell = Bell()

    def submit(self, report: Report, folder: RunFolder | None = None) -> None:
        super().submit(report, folder)
        self.bell.set()

    def deliver(self, _now: datetime) -> float:
        """Returns after how many seconds to try again."""
        if self.waiting() == 0:
            return math.inf
        pause = self.send_next()
        return 0.0 if pause is None else pause


@dataclass
class FakeUploads:
    """What a worker wants stored; it is once `finish` says so."""

    notify: Callable[[], None]
    requested: dict[str, Mapping[str, int]] = field(default_factory=dict)
    _done: list[Done] = field(default_factory=list)

    def request(self, folder: RunFolder, sizes: Mapping[str, int]) -> None:
        self.requested[folder.plan.run_id] = sizes

    def finish(self, run_id: str) -> None:
        """All of it is stored now."""
        self._done.append(Done(run_id, self.requested.pop(run_id)))
        self.notify()

    def done(self) -> list[Done]:
        done, self._done = self._done, []
        return done


def account(run_as: str | None) -> Account:
    """A user whom every machine knows, but for `nobody-here`."""
    if run_as == "nobody-here":
        raise CannotStart("this node has no user 'nobody-here'")
    return Account("ann", 1000, 1000, "/home/ann", (1000,))
