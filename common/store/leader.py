"""The leader's row: which epoch may write. ZooKeeper elects; this refuses the writes of the deposed."""

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict

from .schema import leader


class Deposed(Conflict):
    """Another epoch has begun."""


def read(conn: Connection) -> int:
    """The epoch of the newest leader; 0 where there has never been one."""
    epoch: int = conn.execute(sa.select(leader.c.epoch)).scalar_one()
    return epoch


def take(conn: Connection, expected: int, epoch: int, holder: str) -> None:
    """Make `epoch` the one that may write, where `expected` is so far. Raises: Conflict."""
    values = {"epoch": epoch, "holder": holder}
    if conn.execute(sa.update(leader).where(leader.c.epoch == expected).values(values)).rowcount != 1:
        raise Conflict(f"epoch {epoch} can't begin: the last one is {read(conn)} and no longer {expected}")


def mark(conn: Connection) -> int:
    """The last mark that is known to have been in the tree; 0 where none is."""
    number: int | None = conn.execute(sa.select(leader.c.tree_mark)).scalar_one()
    return 0 if number is None else number


def note_mark(conn: Connection, epoch: int, number: int) -> None:
    """The mark is in the tree. Raises: Conflict, as `fence`."""
    fence(conn, epoch)
    conn.execute(sa.update(leader).values(tree_mark=number))


def fence(conn: Connection, epoch: int) -> None:
    """Let the transaction go on only while `epoch` may write, and let no other begin before its end.

    To be called first in every transaction of a leader.

    Raises:
        Deposed: a later epoch has begun.
        Conflict: SQL was put back to an earlier day.
    """
    changed = sa.update(leader).where(leader.c.epoch == epoch).values(writes=leader.c.writes + 1)
    if conn.execute(changed).rowcount == 1:
        return
    newest = read(conn)
    if newest < epoch:
        raise Conflict(
            f"SQL was put back to an earlier day, it is at epoch {newest} and this leader's is {epoch}: once SQL is"
            " as it should be, restart the managers"
        )
    raise Deposed(f"deposed: epoch {epoch} is over, the leader's is {newest}")
