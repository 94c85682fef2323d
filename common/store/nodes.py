"""The machines of the fleet that are allowed in, by their keys."""

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Node

from .schema import node


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


def names(conn: Connection) -> list[str]:
    """The names of all nodes."""
    return list(conn.scalars(sa.select(node.c.name)))


def listing(conn: Connection) -> list[Node]:
    """All nodes, by name."""
    return [Node(**row._asdict()) for row in conn.execute(sa.select(node).order_by(node.c.name))]
