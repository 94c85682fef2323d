"""What the ledger needs: when jobs were due before they were changed, and how far back runs were removed.

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


def upgrade() -> None:
    """Of the time before, nothing is known of schedules but those that the jobs have now."""
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


def _column(table: str, column: sa.Column[object]) -> None:
    if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def _index(table: str, *columns: str) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
