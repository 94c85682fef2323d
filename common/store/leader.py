"""The leader's row: which epoch may write. ZooKeeper elects; this refuses the writes of the deposed."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict

from .schema import leader


class Deposed(Conflict):
    """Another epoch has begun, or has to."""


class PutBack(Deposed):
    """SQL is of an earlier day than what it was told: whoever leads next sets that right."""


def read(conn: Connection) -> int:
    """The epoch of the newest leader; 0 where there has never been one."""
    epoch: int = conn.execute(sa.select(leader.c.epoch)).scalar_one()
    return epoch


def take(conn: Connection, expected: int, epoch: int, holder: str) -> None:
    """Make `epoch` the one that may write, where `expected` is so far. Raises: Conflict."""
    values = {"epoch": epoch, "holder": holder}
    if conn.execute(sa.update(leader).where(leader.c.epoch == expected).values(values)).rowcount != 1:
        raise Conflict(f"epoch {epoch} can't begin: the last one is {read(conn)} and no longer {expected}")


@dataclass(frozen=True, slots=True)
class State:
    """What SQL knows of who led, and of the tree."""

    epoch: int
    mark: int
    """The last mark that is known to have been in the tree; 0 where none is."""
    marked_at: datetime | None
    """When that was written down."""


def state(conn: Connection) -> State:
    """All of it."""
    row = conn.execute(sa.select(leader.c.epoch, leader.c.tree_mark, leader.c.marked_at)).one()
    return State(row.epoch, 0 if row.tree_mark is None else row.tree_mark, row.marked_at)


def mark(conn: Connection) -> int:
    """As in `State`."""
    return state(conn).mark


def note_mark(conn: Connection, epoch: int, number: int, now: datetime, *, noted: int) -> None:
    """The mark is in the tree; `noted` is the one that SQL was told of last. Raises: as `fence` and `see`."""
    fence(conn, epoch)
    see(mark(conn), noted)
    set_mark(conn, number, now)


def set_mark(conn: Connection, number: int, now: datetime) -> None:
    """For who may write."""
    conn.execute(sa.update(leader).values(tree_mark=number, marked_at=now))


def see(known: int, noted: int) -> None:
    """Raises: PutBack, where SQL knows a mark only that is older than the one it was told of."""
    if known < noted:
        raise PutBack(f"SQL was put back to an earlier day: it is at mark {known}, and was at {noted}")


def fence(conn: Connection, epoch: int) -> None:
    """Let the transaction go on only while `epoch` may write, and let no other begin before its end.

    To be called first in every transaction of a leader.

    Raises:
        Deposed: a later epoch has begun.
        PutBack: SQL was put back to an earlier day.
    """
    changed = sa.update(leader).where(leader.c.epoch == epoch).values(writes=leader.c.writes + 1)
    if conn.execute(changed).rowcount == 1:
        return
    newest = read(conn)
    if newest < epoch:
        raise PutBack(f"SQL was put back to an earlier day: it is at epoch {newest}, and was at {epoch}")
    raise Deposed(f"deposed: epoch {epoch} is over, the leader's is {newest}")
