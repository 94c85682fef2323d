"""What else a job says, and what a request with an Idempotency-Key made.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
WORD = sa.String(16)


def upgrade() -> None:
    """The jobs that are there get the values that hold where nothing is said."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("job")}
    for column in _columns():
        if column.name not in known:
            op.add_column("job", column)
    op.create_table(
        "idempotency",
        sa.Column("actor", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("job_id", NUMBER, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    _index("idempotency", "created_at")
    _index("job", "name", "id")
    _index("job", "updated_at", "id")


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("shell", sa.String(1000)),
        sa.Column("args", LONG_TEXT),
        sa.Column("node", sa.String(200)),
        sa.Column("env", LONG_TEXT),
        sa.Column("stdin", LONG_TEXT),
        sa.Column("timeout", sa.Double),
        sa.Column("grace", sa.Double, nullable=False, server_default="10"),
        sa.Column("catch_up", WORD, nullable=False, server_default="latest"),
        sa.Column("max_lateness", sa.Double, nullable=False, server_default="3600"),
    ]


def _index(table: str, *columns: str) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
