"""The newest mark that this node has seen: a tree below it was put back, and its claims are of the past."""

import logging
from pathlib import Path

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import NoNode, Tree
from cronkeeper.common.errors import Unavailable

log = logging.getLogger(__name__)


class MarkSeen:
    """Kept in a file, since the daemon may be started again in the meantime; without one, in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._newest = self._read()

    def check(self, tree: Tree) -> None:
        """Raises: Unavailable, where the tree is below what was seen, until a leader has cleared it out."""
        try:
            data = tree.get(paths.MARK).data
        except NoNode:
            data = b""
        mark = int(data) if data else 0
        if mark < self._newest:
            raise Unavailable(
                f"ZooKeeper is at mark {mark}, and was at {self._newest}: it was put back to an earlier day, and"
                " nothing is claimed before a manager leads in it"
            )
        if mark > self._newest:
            self._newest = mark
            self._write()

    def _read(self) -> int:
        if self._path is None:
            return 0
        try:
            return int(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _write(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            new.write_text(f"{self._newest}\n")
            new.replace(self._path)
        except OSError as error:
            log.error("the mark %d can't be written down: %s", self._newest, error)
