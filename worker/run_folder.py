"""The journal: a folder for each run, from before its claim until everyone has acknowledged its end.

plan      what is to be run, and everything that a report of it says (JSON, never changed)
exit      made beforehand with its block allocated; "<exit code> <uptime>" once the process has ended
started   made by the one wrapper that won: its line of /proc/<pid>/stat, and the uptime; or by the daemon,
          where it gave the run up so that no wrapper starts it
stdout, stderr; with `.dropped` behind the name once their content was let go of (see `outputs`)
outcome   what became of the run (JSON), where the API does not acknowledge that soon (see `safekeeping`)
stdin     what the job says that it reads; env: what the job adds to the environment, as lines for a shell; both
          are readable by all, for another user's process gets them open, and the folder is closed to everyone
stopped   "<uptime of SIGTERM> <uptime of SIGKILL, or -> [<why, if not for its timeout>]"; made beforehand as `exit`
          is where the job has a timeout, may be replaced, or is stopped on a node that is cut off
"""

import contextlib
import errno
import os
import shlex
import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cronkeeper.common.attempts import fenced
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import Concurrency, Outcome, Spec, StartedBy, decode, encode

EXIT_BYTES = 32
BLANK = b" " * (EXIT_BYTES - 1) + b"\n"
ROOM = b" " * 127 + b"\n"
"""What `stopped` is made of: as long as all that may be written into it."""
NEVER = "-"
OURS = "CRONKEEPER_"
"""What the names of the variables begin with that are ours alone."""
FILES = ("plan", "exit", "started", "stdout", "stderr", "stdin", "env", "stopped", "outcome")
"""In the order in which they are removed: without its plan a folder is no run any more."""
GIVEN_UP = "given up\n"


class NoRoom(CronkeeperError):
    """The run's folder could not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run that is to be claimed. `token` is the fencing token: generation and version of the claim."""

    run_id: str
    spec: Spec
    gen: str
    token: str
    tick: datetime | None
    attempt: int
    started_by: StartedBy
    node: str
    boot_id: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told from a later one of the same number by when it was started (in clock ticks since boot)."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class Started:
    """Which process won the start, and the uptime when it did."""

    process: ProcessId
    uptime: float


@dataclass(frozen=True, slots=True)
class Exit:
    """The command's exit code, and the uptime when it ended."""

    code: int
    uptime: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The uptimes at which a run was asked to end, and at which it was killed where it did not.

    `cause` says why; None: its timeout was over.
    """

    asked: float
    killed: float | None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder. What is read from it is None while it is not there."""

    path: Path
    plan: Plan

    @classmethod
    def make(cls, root: Path, plan: Plan) -> "RunFolder":
        """Make it, whole or not at all.

        Raises:
            NoRoom: the disk is full, or the folder can't be written.
        """
        path = root / plan.run_id
        try:
            path.mkdir(mode=0o700)
            _write_new(path / "exit", BLANK)
            _write_what_it_needs(path, plan.spec)
            _write_new(path / "plan", encode(plan))
        except FileExistsError as error:
            found = _load(path)
            if found is None:
                raise NoRoom(f"something was in the way at {path}") from error
            return found
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise NoRoom(f"the run's folder could not be made in {root}: {error.strerror}") from error
        return cls(path, plan)

    @property
    def started(self) -> Started | None:
        """Read the mark of the wrapper that won."""
        try:
            text = _read(f"{self.path}/started").decode()
        except FileNotFoundError:
            return None
        if not text.endswith("\n") or text == GIVEN_UP:
            return None
        stat, _, uptime = text.rstrip("\n").rpartition(" ")
        return Started(parse_stat(stat), float(uptime))

    @property
    def marked_at(self) -> datetime | None:
        """When the mark was made, by the clock of then: of an earlier boot its uptime says nothing."""
        try:
            return datetime.fromtimestamp((self.path / "started").stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    @property
    def given_up(self) -> bool:
        """Whether the daemon has taken the mark, so that nothing is ever started."""
        try:
            return (self.path / "started").read_text() == GIVEN_UP
        except FileNotFoundError:
            return False

    def give_up(self) -> bool:
        """Take the mark before a wrapper does; False where one was quicker."""
        try:
            _write_new(self.path / "started", GIVEN_UP.encode())
        except FileExistsError:
            return False
        except FileNotFoundError:
            return True  # without its folder no wrapper starts it either
        return True

    @property
    def exit(self) -> Exit | None:
        """Read the exit code."""
        try:
            fields = _read(f"{self.path}/exit").split()
        except FileNotFoundError:
            return None
        return Exit(int(fields[0]), float(fields[1])) if len(fields) == 2 else None

    @property
    def stopped(self) -> Stopped | None:
        """Read what the daemon has done to end the run."""
        try:
            fields = _read(f"{self.path}/stopped").decode().split(maxsplit=2)
        except FileNotFoundError:
            return None
        if len(fields) < 2:
            return None
        killed = None if fields[1] == NEVER else float(fields[1])
        return Stopped(float(fields[0]), killed, fields[2].strip() if len(fields) > 2 else None)

    def note_stopped(self, stopped: Stopped) -> None:
        """Write it down, in the room that was kept for it where there is some. Raises: OSError."""
        killed = NEVER if stopped.killed is None else f"{stopped.killed:.2f}"
        text = f"{stopped.asked:.2f} {killed} {stopped.cause or ''}\n"
        descriptor = os.open(self.path / "stopped", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    @property
    def outcome(self) -> Outcome | None:
        """Read what was noted; None also where that was not written to its end."""
        try:
            return decode((self.path / "outcome").read_bytes(), Outcome)
        except (FileNotFoundError, ValueError):
            return None

    def note_outcome(self, outcome: Outcome) -> None:
        """Write it down; the first one stays. A folder that is gone needs none. Raises: OSError."""
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            _write_new(self.path / "outcome", encode(outcome))

    def remove(self) -> None:
        """Forget the run, at once: what a crash leaves of the files is swept away by `load_all`.

        The folder goes in one step, by another name: while it was there without `started`, a wrapper that has
        been slow could start the run. Then its own files, by name: rmtree takes three times as many calls.
        """
        gone = self.path.with_name(f".{self.path.name}")
        try:
            self.path.rename(gone)
            for name in FILES:
                with contextlib.suppress(FileNotFoundError):
                    (gone / name).unlink()
            gone.rmdir()
        except OSError:
            shutil.rmtree(gone, ignore_errors=True)


def load_all(root: Path) -> Iterator[RunFolder]:
    """Every run folder below `root`; one that was not made or removed to the end is swept away."""
    for path in sorted(root.iterdir()):
        found = _load(path)
        if found is not None:
            yield found
        else:
            shutil.rmtree(path, ignore_errors=True)


def whole(root: Path, *, but: Container[str] = ()) -> Iterator[RunFolder]:
    """Every whole run folder below `root`, for those who only look: others may be in the making.

    Those of the names `but` are passed over.
    """
    paths = sorted(root.iterdir()) if root.exists() else ()
    found = (_load(path) for path in paths if path.name not in but)
    return (folder for folder in found if folder is not None)


def _load(path: Path) -> RunFolder | None:
    """The folder; None where it was not made, or not removed, to the end."""
    try:
        plan = decode((path / "plan").read_bytes(), Plan)
        there = path.name == plan.run_id and (path / "exit").exists()
    except (OSError, ValueError):
        return None
    return RunFolder(path, plan) if there else None


def parse_stat(stat: str) -> ProcessId:
    """The identity in a line of /proc/<pid>/stat (proc(5)); the command in it may contain anything."""
    pid, _, rest = stat.partition(" ")
    fields = rest.rpartition(")")[2].split()
    return ProcessId(int(pid), int(fields[19]))


def at_uptime(then: float, now: datetime, uptime_now: float) -> datetime:
    """The wall's time at an uptime of this boot."""
    return now - timedelta(seconds=uptime_now - then)


def _read(path: str) -> bytes:
    """A file of less than a page, in the fewest calls: a burst reads thousands."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _write_what_it_needs(path: Path, spec: Spec) -> None:
    if spec.stdin is not None:
        _write_new(path / "stdin", spec.stdin.encode(), 0o644)
    if spec.env:
        words = [f"{name}={value}" for name, value in spec.env.items() if not name.startswith(OURS)]
        lines = [f"export {shlex.quote(word)}\n" for word in words]
        _write_new(path / "env", "".join(lines).encode(), 0o644)
    if spec.timeout is not None or spec.concurrency is Concurrency.REPLACE or fenced(spec):
        _write_new(path / "stopped", ROOM)


def _write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if mode != 0o600:
            os.fchmod(descriptor, mode)  # whatever the daemon's umask is
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
