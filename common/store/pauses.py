"""Which nodes are paused, and whether the whole fleet is."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.pauses import Pauses

from .schema import leader, node


def pause(conn: Connection, name: str | None, now: datetime) -> bool:
    """Pause a node, or the fleet where no name is given; False where it was paused already, or is not there."""
    return _change(conn, name, was_paused=False, values={"paused_at": now})


def resume(conn: Connection, name: str | None, now: datetime) -> bool:
    """End the pause of a node, or that of the fleet; False where it was not paused."""
    return _change(conn, name, was_paused=True, values={"paused_at": None, "resumed_at": now})


def _change(
    conn: Connection, name: str | None, *, was_paused: bool, values: dict[str, datetime | None]
) -> bool:
    table = leader if name is None else node
    column = table.c.paused_at
    found: list[sa.ColumnElement[bool]] = [column.is_not(None) if was_paused else column.is_(None)]
    if name is not None:
        found.append(node.c.name == name)
    return conn.execute(sa.update(table).where(*found).values(values)).rowcount == 1


def fleet(conn: Connection) -> datetime | None:
    """Since when the whole fleet is paused; None where it is not."""
    since: datetime | None = conn.execute(sa.select(leader.c.paused_at)).scalar_one()
    return since


def read(conn: Connection) -> Pauses:
    """All of it."""
    columns = (node.c.name, node.c.paused_at, node.c.resumed_at)
    rows = conn.execute(sa.select(*columns).where(sa.or_(*(each.is_not(None) for each in columns[1:])))).all()
    of_fleet = conn.execute(sa.select(leader.c.paused_at, leader.c.resumed_at)).one()
    return Pauses(
        {row.name: row.paused_at for row in rows if row.paused_at is not None},
        {row.name: row.resumed_at for row in rows if row.resumed_at is not None},
        of_fleet.paused_at,
        of_fleet.resumed_at,
    )
