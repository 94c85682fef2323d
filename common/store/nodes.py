"""The machines of the fleet that are allowed in, by their keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Node
from cronkeeper.common.pauses import Pauses

from . import pauses
from .schema import node

NO_KEY = ""
"""Of a node whose key went with what SQL was put back from: its reports are refused until it is added again."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Who is in the fleet, by name."""

    known: frozenset[str] = frozenset()
    """Every node that was added, and not forgotten since."""
    drained: frozenset[str] = frozenset()
    """Those of them that are to have no jobs."""
    pauses: Pauses = field(default_factory=Pauses)
    numbers: Mapping[str, int] = field(default_factory=dict)
    """What their copies of jobs go by; a node that is new has none yet."""


def add(conn: Connection, new: Node) -> bool:
    """Let a node in. One that is known with the same key is left as it is: then False.

    Raises:
        Conflict: the name is taken by a node with another key.
    """
    values = {
        "name": new.name,
        "public_key": new.public_key,
        "added_at": new.added_at,
    }
    try:
        conn.execute(sa.insert(node), values)
    except sa.exc.IntegrityError:
        keyless = sa.and_(node.c.name == new.name, node.c.public_key == NO_KEY)
        if conn.execute(sa.update(node).where(keyless).values(values)).rowcount == 1:
            return True
        if get(conn, new.name).public_key != new.public_key:
            raise Conflict(f"there is a node {new.name} already, with another key") from None
        return False
    return True


def get(conn: Connection, name: str) -> Node:
    """Raises: NotFound."""
    row = conn.execute(sa.select(node).where(node.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no node {name}")
    return Node(**row._asdict())


def remove(conn: Connection, name: str) -> None:
    """Let a node out: from now on its key opens nothing. Raises: NotFound."""
    if conn.execute(sa.delete(node).where(node.c.name == name)).rowcount != 1:
        raise NotFound(f"there is no node {name}")


def drain(conn: Connection, name: str, since: datetime | None) -> bool:
    """Let the node have no jobs `since` then, or some again; False where it was so already. Raises: NotFound."""
    other = node.c.drained_at.is_not(None) if since is None else node.c.drained_at.is_(None)
    changed = sa.update(node).where(node.c.name == name, other).values(drained_at=since)
    if conn.execute(changed).rowcount == 1:
        return True
    get(conn, name)
    return False


def roll(conn: Connection) -> Roll:
    """Who is in the fleet."""
    rows = conn.execute(sa.select(node.c.name, node.c.drained_at, node.c.number)).all()
    drained = frozenset(row.name for row in rows if row.drained_at is not None)
    numbers = {row.name: row.number for row in rows if row.number is not None}
    return Roll(frozenset(row.name for row in rows), drained, pauses.read(conn), numbers)


def listing(conn: Connection) -> list[Node]:
    """All nodes, by name."""
    return [Node(**row._asdict()) for row in conn.execute(sa.select(node).order_by(node.c.name))]
