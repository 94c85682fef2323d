"""The crontabs a worker can write to, and how a new block gets into one."""

import contextlib
import os
import pwd
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.facts import ConditionName
from cronkeeper.worker import crontab

PID_FILES = (Path("/run/crond.pid"), Path("/var/run/crond.pid"), Path("/run/cron.pid"))
CROND_NAMES = frozenset({"cron", "crond"})
COMMAND_TIMEOUT = 10.0
BAD_LINE = "errors in crontab file"
"""What crontab(1) says of a table that cron would refuse."""


class CrontabRefused(CronkeeperError):
    """crontab(1) would not take the table."""

    condition = ConditionName.CRONTAB_REFUSED


class CrontabFull(CrontabRefused):
    """It would have more lines than cron takes."""

    condition = ConditionName.CRONTAB_FULL


class CrontabUnwritable(CrontabRefused):
    """The crontab could not be read or written, or does not hold what was written."""

    condition = ConditionName.CRONTAB_UNWRITABLE


class Crontab(ABC):
    """One crontab, whole."""

    title: str
    """What it is, for people."""
    user_field: str | None = None
    """The user that each line names, in a system crontab."""

    @abstractmethod
    def read(self) -> bytes:
        """All bytes; nothing where there is no such crontab yet. Raises: CrontabRefused."""

    @abstractmethod
    def write(self, table: bytes) -> None:
        """Replace it at once and whole. Raises: CrontabRefused."""


class SystemCrontab(Crontab):
    """A file like /etc/cron.d/cronkeeper. cron ignores names with a dot, and files that others may write."""

    user_field = "root"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.title = str(path)

    def read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise CrontabUnwritable(f"{self.title} can't be read: {error.strerror}") from error

    def write(self, table: bytes) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            new.write_bytes(table)
            new.chmod(0o644)
            new.replace(self._path)
        except OSError as error:
            raise CrontabUnwritable(f"{self.title} can't be written: {error.strerror}") from error


class UserCrontab(Crontab):
    """The crontab of whoever runs the worker, through crontab(1), which tells cron of the change."""

    def __init__(self) -> None:
        self.title = f"the crontab of {pwd.getpwuid(os.geteuid()).pw_name}"

    def read(self) -> bytes:
        done = self._crontab("-l")
        if done.returncode == 0:
            return done.stdout
        if b"no crontab for" in done.stderr:
            return b""
        said = done.stderr.decode(errors="replace").strip()
        raise CrontabUnwritable(f"{self.title} can't be read: {said}")

    def write(self, table: bytes) -> None:
        done = self._crontab("-", stdin=table) if table else self._crontab("-r")
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            kind = CrontabRefused if BAD_LINE in said else CrontabUnwritable
            raise kind(f"{self.title} can't be written: {said}")

    def _crontab(self, argument: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        command = ["crontab", argument]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                timeout=COMMAND_TIMEOUT,
                env=environment,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CrontabUnwritable(f"crontab {argument} failed: {error}") from error


def apply(table: Crontab, install: str, lines: Sequence[bytes], spool: Path) -> None:
    """Put exactly these lines, which file into `spool`, into our block. Raises: CrontabRefused."""
    before = table.read()
    put(table, before, crontab.splice(before, install, lines, crontab.filing(spool)))


def put(table: Crontab, before: bytes, after: bytes) -> bool:
    """Write it whole and read it back, where it is another one; True where it was.

    Raises:
        CrontabRefused: it can't be written or read, reads otherwise than written, or is too long.
    """
    if after.count(b"\n") > crontab.MAX_LINES:
        raise CrontabFull(f"{table.title} would have more than {crontab.MAX_LINES} lines, which cron refuses")
    if after == before:
        return False
    table.write(after)
    if table.read() != after:
        raise CrontabUnwritable(
            f"{table.title} does not hold what was written to it; is something else editing it?"
        )
    return True


def crond_pid() -> int | None:
    """The cron daemon of this host, if one says that it runs, and does."""
    for path in PID_FILES:
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text())
            if Path(f"/proc/{pid}/comm").read_text().strip() in CROND_NAMES:
                return pid
    return None


def crontab_command() -> bool:
    """Whether crontab(1) is installed and lets this user in."""
    if shutil.which("crontab") is None:
        return False
    try:
        UserCrontab().read()
    except CrontabRefused:
        return False
    return True
