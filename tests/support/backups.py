"""A backup of SQLite, and putting it back, while whoever uses the database goes on."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cronkeeper.common.store import audit
from cronkeeper.common.store.schema import metadata, schema_info
from cronkeeper.common.store.store import Store

from .fleet import Fleet
from .promise import complaints

SEQUENCE = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
TABLES = [table for table in metadata.sorted_tables if table is not schema_info]


@dataclass(frozen=True)
class Backup:
    """Every row of each table, in order, and how far its ids were counted."""

    rows: list[list[dict[str, Any]]]
    counted: list[dict[str, Any]]


def backup(store: Store) -> Backup:
    """One moment, as a dump has it."""

    def work(connection: sa.Connection) -> Backup:
        rows = [_rows(connection, table) for table in TABLES]
        return Backup(rows, _rows(connection, SEQUENCE))

    return store.transaction(work)


def without_node(copy: Backup, name: str) -> Backup:
    """As one of before that node was added."""
    rows = [[row for row in some if "public_key" not in row or row["name"] != name] for some in copy.rows]
    return Backup(rows, copy.counted)


def put_back(store: Store, copy: Backup) -> None:
    """All is as it was then."""

    def work(connection: sa.Connection) -> None:
        for table, rows in zip(TABLES, copy.rows, strict=True):
            connection.execute(sa.delete(table))
            if rows:
                connection.execute(sa.insert(table), rows)
        connection.execute(sa.delete(SEQUENCE))
        if copy.counted:
            connection.execute(sa.insert(SEQUENCE), copy.counted)

    store.transaction(work, writes=True)


def _rows(connection: sa.Connection, table: sa.FromClause) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def doubled(fleet: Fleet) -> list[str]:
    """The runs that were begun more than once."""
    return [run_id for run_id, count in Counter(fleet.starts()).items() if count > 1]


def wrong(fleet: Fleet) -> list[str]:
    """But for runs that SQL has forgotten, of which nobody has anything any more."""
    return [each for each in complaints(fleet) if not each.endswith("was started and SQL does not know it")]


def restored(fleet: Fleet) -> list[str]:
    """What the audit says of it."""
    found = fleet.store.transaction(audit.listing)
    return [entry.detail for entry in found if entry.action == "restored"]
