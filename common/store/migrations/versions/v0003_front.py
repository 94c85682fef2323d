"""What nodes a job requires, how much output is kept and where, and people's tokens.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def upgrade() -> None:
    """Jobs that are there require no labels; output that is there lies in SQL."""
    _column("job", sa.Column("requires", LONG_TEXT))
    _column("job", sa.Column("max_output", NUMBER, nullable=False, server_default=str(16 * 1024 * 1024)))
    _column("run_output", sa.Column("stored", NUMBER))
    op.create_table(
        "token",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        sqlite_autoincrement=True,
    )
    name = "ix_token_digest"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("token")}:
        op.create_index(name, "token", ["digest"], unique=True)


def _column(table: str, column: sa.Column[object]) -> None:
    if column.name not in {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
