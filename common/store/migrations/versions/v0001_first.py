"""The first tables.

MySQL can't roll back DDL, so each step here does nothing where it was done before: an upgrade that was killed
half-way can be run again.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
WORD = sa.String(16)


def upgrade() -> None:
    """Make all tables, and the leader's row."""
    _job()
    _run()
    _others()
    _index("job", "unpublished", "id")
    _index("job", "ended_at", "id")
    _index("run", "job_id", "created_at", "id")
    _index("run", "state", "node")
    leader = sa.table("leader", *(sa.column(name) for name in ("id", "epoch", "writes")))
    if op.get_bind().scalar(sa.select(leader.c.id)) is None:
        op.execute(sa.insert(leader).values(id=1, epoch=0, writes=0))


def _table(name: str, *columns: sa.schema.SchemaItem, counted: bool = False) -> None:
    op.create_table(
        name,
        *columns,
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        sqlite_autoincrement=counted,
    )


def _index(table: str, *columns: str) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))


def _job() -> None:
    _table(
        "job",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("type", WORD, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("command", LONG_TEXT),
        sa.Column("artifact_sha256", sa.String(64)),
        sa.Column("artifact_filename", sa.String(255)),
        sa.Column("artifact_size", NUMBER),
        sa.Column("schedule", sa.String(1000)),
        sa.Column("at", INSTANT),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("run_as", sa.String(64)),
        sa.Column("concurrency", WORD, nullable=False),
        sa.Column("effective_from", INSTANT, nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("published_rev", sa.Integer, nullable=False),
        sa.Column("unpublished", sa.Boolean, nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("status_moment", INSTANT),
        sa.Column("assigned_node", sa.String(200)),
        sa.Column("gen", sa.String(64)),
        sa.Column("placement", sa.String(1000)),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        counted=True,
    )


def _run() -> None:
    _table(
        "run",
        sa.Column("id", sa.String(96), primary_key=True),
        sa.Column("job_id", NUMBER, nullable=False),
        sa.Column("copy", sa.Integer, nullable=False),
        sa.Column("tick", INSTANT),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("started_by", WORD, nullable=False),
        sa.Column("node", sa.String(200)),
        sa.Column("gen", sa.String(64)),
        sa.Column("requested_by", sa.String(200)),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("claimed_at", INSTANT),
        sa.Column("started_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.Column("exit_code", sa.Integer),
        sa.Column("reason", sa.String(1000)),
    )
    _table(
        "run_output",
        sa.Column("run_id", sa.String(96), primary_key=True),
        sa.Column("stream", WORD, primary_key=True),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("data", BLOB, nullable=False),
    )


def _others() -> None:
    _table(
        "node",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("public_key", sa.String(100), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
    )
    _table(
        "leader",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", NUMBER, nullable=False),
        sa.Column("holder", sa.String(200)),
        sa.Column("writes", NUMBER, nullable=False),
    )
    _table(
        "audit",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("job_id", NUMBER),
        sa.Column("detail", LONG_TEXT, nullable=False),
        counted=True,
    )
