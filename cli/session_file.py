"""Keeps a worker's session across its restarts: whoever has the password has the session, so 0600.

A machine that is a copy of another one has the file too, and must never come to the other's session: so it is good
only in the boot, and in the folder, that it was written in (see `worker.machine.boot_of`). What older versions
wrote says nothing of these: it is good where it is younger than this boot, or each upgraded node would be taken for
dead.
"""

import base64
import fcntl
import json
import os
import time
from pathlib import Path

from cronkeeper.cli.home import write_private
from cronkeeper.common.clock import boottime
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.errors import Conflict, Unavailable

LOCK_PATIENCE = 30.0
"""Seconds in which a daemon that was killed is gone, also from the middle of a write to a slow disk: whoever gives
up is not started again."""


class SessionFile:
    """One file, written when the session is another one."""

    def __init__(self, path: Path, boot: str) -> None:
        self._path = path
        self._boot = boot
        self._kept: int | None = None

    def read(self) -> tuple[int, bytes] | None:
        """The id and password of the last session; None: there is none to come back to, and a new one is made."""
        try:
            kept = json.loads(self._path.read_text())
            session = int(kept["id"]), base64.b64decode(kept["password"])
            return session if kept.get("boot", self._boot_of_older()) == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _boot_of_older(self) -> str | None:
        booted = time.time() - boottime()
        return self._boot if self._path.stat().st_mtime >= booted else None

    def keep(self, tree: Tree) -> None:
        """Write the session in use, if there is one."""
        try:
            session = tree.session()
        except Unavailable:
            return
        if session.id != self._kept:
            password = base64.b64encode(session.password).decode()
            kept = {"id": session.id, "password": password, "boot": self._boot}
            write_private(self._path, json.dumps(kept) + "\n")
            self._kept = session.id


def lock(home: Path, patience: float = LOCK_PATIENCE) -> int:
    """Be the only daemon with this home until the process ends, or the descriptor that is returned is closed.

    Raises: Conflict, where another one still has it after `patience` seconds.
    """
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise Conflict(f"another worker on this machine uses {home}: stop it first") from None
            time.sleep(0.05)
