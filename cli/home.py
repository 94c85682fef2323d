"""The folder of an embedded install: what lies where, and who is using it."""

import fcntl
import json
import os
import pwd
import re
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from cronkeeper.common.errors import Conflict, Invalid
from cronkeeper.worker.crontab_file import UserCrontab, apply, crontab_command

DYING_TIMEOUT = 10.0
"""Seconds that a daemon may take to be gone after its guard."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Given once, when the folder is first used, and kept: a machine may be renamed."""

    install: str
    node: str


class Home:
    """One embedded install."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.admin_token = path / "admin.token"
        self.user_token = path / "user.token"
        self.node_key = path / "node.key"
        self._url_path = path / "url"
        self.database = path / "cronkeeper.db"
        self.tree_log = path / "tree.log"
        self.artifacts = path / "store"
        self.worker = path / "worker"
        self._lock_path = path / "lock"
        self._identity_path = path / "identity.json"

    def take(self) -> None:
        """Make the folder, and be its only user until the process ends.

        Raises:
            Invalid: it can't be written, or is another user's.
            Conflict: another process uses it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Invalid(
                f"{self.path} can't be used: {error.strerror}; choose another with HOME_DIR="
            ) from error
        owner = os.fstat(descriptor).st_uid
        if owner != os.geteuid():  # root could, and what it makes there would be lost for the owner
            raise Invalid(
                f"{self.path} is {user_name(owner)}'s: start it as that user, or choose another with HOME_DIR="
            )
        self._lock(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getppid()}\n".encode(), 0)

    def _lock(self, descriptor: int) -> None:
        """A daemon whose guard was killed dies with it, but not before the disk has taken what it writes."""
        deadline = time.monotonic() + DYING_TIMEOUT
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = self._pid()
                if pid is None or _lives(pid) or time.monotonic() > deadline:
                    raise Conflict(
                        f"{self.path} is in use by process {pid}: stop that with `make down`, "
                        "or choose another folder with HOME_DIR= and another port with PORT="
                    ) from None
            time.sleep(0.02)

    @property
    def used(self) -> bool:
        """Whether anything was ever started in the folder."""
        return self._lock_path.exists()

    def holder(self) -> int | None:
        """The guard of whoever uses the folder; None where nobody does."""
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Invalid(f"{self._lock_path} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._pid()
        finally:
            os.close(descriptor)
        return None

    def identity(self) -> Identity:
        """Who this install is. Raises: Invalid, where its file is damaged."""
        if not self._identity_path.exists():
            fresh = {"install": secrets.token_hex(4), "node": node_name(socket.gethostname())}
            write_private(self._identity_path, json.dumps(fresh) + "\n")
        try:
            return Identity(**json.loads(self._identity_path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise Invalid(f"{self._identity_path} is damaged: {error}") from error

    def token(self, path: Path) -> str:
        """A token that is made at the first start and kept."""
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        return path.read_text().strip()

    def keep_url(self, url: str) -> None:
        """Let people's client find the API."""
        write_private(self._url_path, url + "\n")

    def clear_crontab(self) -> None:
        """Take our lines out of the crontab, though nothing runs. Raises: CrontabRefused."""
        if self._identity_path.exists() and crontab_command():
            apply(UserCrontab(), self.identity().install, [], self.worker / "spool")

    def unfinished(self) -> int:
        """How many runs have begun of which no end is written down: they go on, if the machine does."""
        exits = [started.with_name("exit") for started in (self.worker / "runs").glob("*/started")]
        return sum(exit_.exists() and not exit_.read_bytes().strip() for exit_ in exits)

    def _pid(self) -> int | None:
        text = self._lock_path.read_text().strip()
        return int(text) if text.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def node_name(host: str) -> str:
    """A host's name as the name of a node: lower case, letters, digits, dots and dashes."""
    name = re.sub(r"[^a-z0-9.-]+", "-", host.lower()).strip(".-")[:63]
    return name if name else "node"


def left_running(count: int) -> str:
    """What becomes of the jobs that are running when nothing else does."""
    said = {0: "no job is running", 1: "1 running job goes on, and the next start adopts it"}
    return said.get(count, f"{count} running jobs go on, and the next start adopts them")


def user_name(uid: int) -> str:
    """What the user is called here; the number, where there is none of it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def write_private(path: Path, text: str) -> None:
    """A whole new file that only its owner can read, or none."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
