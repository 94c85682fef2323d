"""Keeps a worker's session across its restarts: whoever has the password has the session, so 0600."""

import base64
import json
from pathlib import Path

from cronkeeper.cli.home import write_private
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.errors import Unavailable


class SessionFile:
    """One file, written when the session is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: int | None = None

    def read(self) -> tuple[int, bytes] | None:
        """The id and password of the last session; None where none can be read: a new one is made then."""
        try:
            kept = json.loads(self._path.read_text())
            return int(kept["id"]), base64.b64decode(kept["password"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, tree: Tree) -> None:
        """Write the session in use, if there is one."""
        try:
            session = tree.session()
        except Unavailable:
            return
        if session.id != self._kept:
            kept = {"id": session.id, "password": base64.b64encode(session.password).decode()}
            write_private(self._path, json.dumps(kept) + "\n")
            self._kept = session.id
