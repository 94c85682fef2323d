"""Tells the nodes of their pauses: each by a node of the tree in its own folder, before it is given any job."""

import logging
from datetime import datetime

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, Delete, Op, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import decode, encode
from cronkeeper.common.pauses import Pause
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign

log = logging.getLogger(__name__)


def tell(tree: Tree, reign: Reign, board: Board, now: datetime) -> None:
    """Bring what the tree says of each node in line with SQL. Raises: Unavailable.

    What could not be written, as the node's folder is gone or another leads, is looked at again the next time.
    """
    _read(tree, board)
    due = []
    for name in sorted(board.told_pauses.keys() & board.known):
        before = board.told_pauses[name]
        after = board.pauses.told(name, before, now)
        if after is not None and after != before:
            due.append((name, before, after))
    writes: list[list[Op]] = []
    for name, before, after in due:
        path = paths.pause(name)
        # Deleted and made again, for a watch of the folder does not tell of data.
        was: list[Op] = [Delete(path, 0)] if before is not None else []
        writes.append([reign.fence(), *was, Create(path, encode(after))])
    for (name, _, after), error in zip(due, tree.commit_many(writes) if writes else (), strict=True):
        if isinstance(error, Unavailable):
            raise error
        if error is not None:
            del board.told_pauses[name]
            continue
        board.told_pauses[name] = after
        log.info("node %s is %s", name, "paused" if after.goes_on else "resumed", extra={"node": name})


def _read(tree: Tree, board: Board) -> None:
    """What the nodes have been told that are new, or that a reign begins with."""
    unread = sorted(board.nodes - board.told_pauses.keys())
    for name, found in zip(unread, tree.get_many([paths.pause(name) for name in unread]), strict=True):
        board.told_pauses[name] = decode(found.data, Pause) if found is not None else None
