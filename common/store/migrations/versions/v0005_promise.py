"""What is to become of runs that failed or were lost; the ledger; drained nodes; a tree or SQL that was put back.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
oldest = "0003"
"""The oldest form whose code can work with this one."""

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(16)
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def upgrade() -> None:
    """Nothing was tried again before, and of the past only the schedules are known that jobs have now."""
    _column("job", sa.Column("retry", LONG_TEXT))
    _column("job", sa.Column("on_node_loss", WORD, nullable=False, server_default="fail"))
    _column("job", sa.Column("when_isolated", WORD, nullable=False, server_default="finish"))
    _column("node", sa.Column("drained_at", INSTANT))
    for table in ("node", "leader"):
        _column(table, sa.Column("paused_at", INSTANT))
        _column(table, sa.Column("resumed_at", INSTANT))
    _column("leader", sa.Column("tree_mark", NUMBER))
    _column("leader", sa.Column("marked_at", INSTANT))
    _column("run", sa.Column("first_tick", INSTANT))
    _column("job", sa.Column("forgotten_tick", INSTANT))
    op.create_table(
        "past_schedule",
        sa.Column("job_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("rev", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("schedule", sa.String(1000), nullable=False),
        sa.Column("at", INSTANT),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("effective_from", INSTANT, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    _index("past_schedule", "until")
    _unvouched()


def _unvouched() -> None:
    op.create_table(
        "unvouched",
        sa.Column("epoch", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    _copies()


def _copies() -> None:
    """Each job had one copy before."""
    _column("job", sa.Column("copies", WORD, nullable=False, server_default="1"))
    _column("node", sa.Column("number", sa.Integer))
    op.create_table(
        "copy",
        sa.Column("job_id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("copy", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String(200), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("until", INSTANT),
        sa.Column("gen", sa.String(64)),
        sa.Column("published_rev", sa.Integer, nullable=False),
        sa.Column("bad", sa.Boolean, nullable=False),
        sa.Column("status_moment", INSTANT),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    _index("copy", "until", "copy")


def _column(table: str, column: sa.Column[object]) -> None:
    if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def _index(table: str, *columns: str) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
