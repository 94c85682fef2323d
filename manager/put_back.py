"""SQL that was put back to a backup while ZooKeeper and the nodes lived on: who leads next sets that right.

The tree and SQL each know an epoch and a mark of the other's (see `mark`), so which of the two is the older one is
known, and not guessed: docs/architecture.md has the cases. What is done is one transaction of SQL: as long as that
has not come through, whoever leads next finds all as it was.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Check, Node, SetData, Tree
from cronkeeper.common.errors import Conflict
from cronkeeper.common.ledger import Span
from cronkeeper.common.store import leader, restored
from cronkeeper.common.store.store import Store
from cronkeeper.manager import mending, sighting

log = logging.getLogger(__name__)


class Older(Enum):
    """What was put back to an earlier day."""

    NEITHER = auto()
    TREE = auto()
    SQL = auto()
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class TreeState:
    """What the tree knows: its epoch and its mark, and the mark that SQL was known to have."""

    epoch: int
    mark: int
    noted: int


def older(tree: TreeState, sql: leader.State) -> Older:
    """Each number only grows. An epoch is in SQL first; a mark is in the tree first, then in SQL, then noted."""
    sql_forgot = sql.epoch < tree.epoch or sql.mark < tree.noted
    tree_forgot = tree.mark < sql.mark
    if sql_forgot and tree_forgot:
        return Older.UNCLEAR
    if sql_forgot:
        return Older.SQL
    return Older.TREE if tree_forgot else Older.NEITHER


def set_right(tree: Tree, store: Store, name: str, now: datetime) -> None:
    """Let SQL know what the tree has, where SQL is the older one.

    Raises:
        Unavailable
        Conflict: another one leads, or nobody can say which of the two is the older one.
    """
    epoch, mark, noted = (tree.get(path) for path in (paths.EPOCH, paths.MARK, paths.NOTED))
    seen = TreeState(number(epoch), number(mark), number(noted))
    sql = store.transaction(leader.state)
    verdict = older(seen, sql)
    if verdict is Older.UNCLEAR:
        raise Conflict(
            f"SQL is at epoch {sql.epoch} and mark {sql.mark}, ZooKeeper at {seen.epoch} and {seen.mark}: each has "
            "forgotten what the other knows, so they can't be of one fleet. Nothing is done; see that the managers "
            "have the right sql.url and zookeeper.hosts, and the right backup"
        )
    if verdict is Older.SQL:
        # The same number at another version: whatever a leader of before writes from now on is refused.
        tree.commit([Check(paths.EPOCH, epoch.version), SetData(paths.EPOCH, epoch.data, epoch.version)])
        _mend(tree, store, (seen, sql), name, now)


def note(tree: Tree, fence: Check, mark: int) -> None:
    """SQL is known to have this mark. Raises: Unavailable; Conflict, where another one leads."""
    known = tree.get(paths.NOTED)
    tree.commit([fence, SetData(paths.NOTED, str(mark).encode(), known.version)])


def number(node: Node) -> int:
    """What an epoch or a mark says; 0 where there is none yet."""
    return int(node.data) if node.data else 0


def _mend(tree: Tree, store: Store, states: tuple[TreeState, leader.State], name: str, now: datetime) -> None:
    seen, sql = states
    there = sighting.look(tree)
    epoch = max(sql.epoch, seen.epoch) + 1

    def work(connection: Connection) -> mending.Mended:
        if leader.state(connection) != sql:
            raise Conflict("SQL has gone on meanwhile: it is looked at again")
        leader.take(connection, sql.epoch, epoch, name)
        since = restored.newest_deed(connection) if sql.marked_at is None else sql.marked_at
        span = Span(min(since, now), now)
        mended = mending.mend(connection, there, span)
        restored.note(connection, epoch, span)
        leader.set_mark(connection, seen.mark, now)
        return mended

    mended = store.transaction(work, writes=True)
    metrics.SQL_PUT_BACK.inc()
    log.error("SQL was put back to what it was at %s: %s", f"{mended.span.since:%FT%TZ}", mended.summary)
    for text in mended.lines:
        log.warning("%s", text)
