"""The tables as they are now; `migrations` leads there from every earlier form.

Text is compared byte by byte on every database. There are no foreign keys: their locks on the parent rows
would make strangers wait for each other, and rows are never deleted while others name them.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from cronkeeper.common.model import (
    CatchUp,
    Concurrency,
    Copies,
    JobStatus,
    JobType,
    OnNodeLoss,
    Retry,
    RunState,
    SkipReason,
    StartedBy,
    WhenIsolated,
)

REASON_LENGTH = 1000
"""Characters of a reason or a placement that are kept."""


class Stream(StrEnum):
    """What a run writes to."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Instant(sa.TypeDecorator[datetime]):
    """An aware datetime, kept in UTC to the microsecond. A naive one is refused: who knows what it means?"""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """MySQL cuts the fraction of a second off where it is not told."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name == "mysql" else sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Json(sa.TypeDecorator[Any]):
    """A value of `kind`, such as a tuple or a dict, as JSON; NULL is the empty one, `kind()`."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """As `LongText`."""
        return dialect.type_descriptor(mysql.MEDIUMTEXT() if dialect.name == "mysql" else sa.Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return msgspec.json.encode(value).decode() if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return self.kind() if value is None else msgspec.json.decode(value, type=self.kind)


def _choice(kind: type[StrEnum]) -> sa.Enum:
    """The value of an enum, as text of up to 16 characters, so that a new member needs no migration."""
    return sa.Enum(
        kind, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members]
    )


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        *columns,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        # Else SQLite gives the id of a deleted row away again.
        sqlite_autoincrement=name in ("job", "audit", "token"),
    )


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up only what it calls INTEGER
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
Blob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")

job = _table(
    "job",
    sa.Column("id", Number, primary_key=True),
    sa.Column("type", _choice(JobType), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("command", LongText),
    sa.Column("artifact_sha256", sa.String(64)),
    sa.Column("artifact_filename", sa.String(255)),
    sa.Column("artifact_size", Number),
    sa.Column("schedule", sa.String(1000)),
    sa.Column("at", Instant),
    sa.Column("timezone", sa.String(64), nullable=False),
    sa.Column("run_as", sa.String(64)),
    sa.Column("concurrency", _choice(Concurrency), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("shell", sa.String(1000)),
    sa.Column("args", Json(tuple[str, ...])),
    sa.Column("node", sa.String(200)),
    sa.Column("env", Json(dict[str, str])),
    sa.Column("stdin", LongText),
    sa.Column("timeout", sa.Double),
    sa.Column("grace", sa.Double, nullable=False),
    sa.Column("catch_up", _choice(CatchUp), nullable=False),
    sa.Column("max_lateness", sa.Double, nullable=False),
    sa.Column("requires", Json(dict[str, str])),
    sa.Column("max_output", Number, nullable=False),
    sa.Column("retry", Json(Retry)),
    sa.Column("on_node_loss", _choice(OnNodeLoss), nullable=False),
    sa.Column("when_isolated", _choice(WhenIsolated), nullable=False),
    sa.Column("copies", _choice(Copies), nullable=False, server_default=Copies.ONE.value),
    sa.Column("effective_from", Instant, nullable=False),
    sa.Column("rev", sa.Integer, nullable=False),
    sa.Column("published_rev", sa.Integer, nullable=False),
    # rev > published_rev, kept by every statement that changes one of them: an index can find it.
    sa.Column("unpublished", sa.Boolean, nullable=False),
    sa.Column("status", _choice(JobStatus), nullable=False),
    # Of the newest run that decided the status.
    sa.Column("status_moment", Instant),
    sa.Column("assigned_node", sa.String(200)),
    sa.Column("gen", sa.String(64)),
    sa.Column("placement", sa.String(REASON_LENGTH)),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    # The newest tick of which the run was removed as old: what became of those up to it may be forgotten.
    sa.Column("forgotten_tick", Instant),
    sa.Index(None, "unpublished", "id"),
    sa.Index(None, "ended_at", "id"),
    sa.Index(None, "name", "id"),
    sa.Index(None, "updated_at", "id"),
)

# The copies of jobs that are on every node that will do: each counts for ticks later than `since` and, once its
# node was forgotten, before `until`. The other columns are what `job` has of jobs with one copy.
copy = _table(
    "copy",
    sa.Column("job_id", Number, primary_key=True, autoincrement=False),
    sa.Column("copy", sa.Integer, primary_key=True, autoincrement=False),  # the number of its node
    sa.Column("node", sa.String(200), nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant),
    sa.Column("gen", sa.String(64)),
    sa.Column("published_rev", sa.Integer, nullable=False),
    # Of its newest run that decided it: whether that ended badly.
    sa.Column("bad", sa.Boolean, nullable=False),
    sa.Column("status_moment", Instant),
    sa.Index(None, "until", "copy"),
)

# What a request with an Idempotency-Key made; the fingerprint is the SHA-256 of its body in hex.
idempotency = _table(
    "idempotency",
    sa.Column("actor", sa.String(200), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("job_id", Number, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index(None, "created_at"),
)

run = _table(
    "run",
    sa.Column("id", sa.String(96), primary_key=True),
    sa.Column("job_id", Number, nullable=False),
    sa.Column("copy", sa.Integer, nullable=False),
    sa.Column("tick", Instant),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("state", _choice(RunState), nullable=False),
    sa.Column("started_by", _choice(StartedBy), nullable=False),
    sa.Column("node", sa.String(200)),
    sa.Column("gen", sa.String(64)),
    sa.Column("requested_by", sa.String(200)),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("claimed_at", Instant),
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("exit_code", sa.Integer),
    sa.Column("reason", sa.String(REASON_LENGTH)),
    # Of ticks that were skipped together the first; `tick` and the id are the last one's.
    sa.Column("first_tick", Instant),
    sa.Index(None, "job_id", "created_at", "id"),
    sa.Index(None, "state", "node"),
)

# When a job was due before it was edited, paused or removed: what it says now is in `job`. The rev is the last
# one that said so. From effective_from to before `until` this made its ticks, and `reason` is why no longer.
past_schedule = _table(
    "past_schedule",
    sa.Column("job_id", Number, primary_key=True, autoincrement=False),
    sa.Column("rev", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schedule", sa.String(1000), nullable=False),
    sa.Column("at", Instant),
    sa.Column("timezone", sa.String(64), nullable=False),
    sa.Column("effective_from", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("reason", _choice(SkipReason), nullable=False),
    sa.Index(None, "until"),
)

run_output = _table(
    "run_output",
    sa.Column("run_id", sa.String(96), primary_key=True),
    sa.Column("stream", _choice(Stream), primary_key=True),
    sa.Column("size", Number, nullable=False),
    sa.Column("data", Blob, nullable=False),
    # Bytes in the artifact store; NULL: `data` is all that is kept.
    sa.Column("stored", Number),
)

# People's tokens: of each only the SHA-256 in hex is kept. One that was revoked stays, for the audit.
token = _table(
    "token",
    sa.Column("id", Number, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Index(None, "digest", unique=True),
)

node = _table(
    "node",
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("public_key", sa.String(100), nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    # Since when it is to have no jobs; NULL: it may have some.
    sa.Column("drained_at", Instant),
    # Since when nothing begins there; NULL: it is not paused by itself. And when it was resumed last.
    sa.Column("paused_at", Instant),
    sa.Column("resumed_at", Instant),
    # What its copies of jobs go by, never given to another node; NULL: no leader has seen it yet.
    sa.Column("number", sa.Integer),
)

leader = _table(
    "leader",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1
    sa.Column("epoch", Number, nullable=False),
    sa.Column("holder", sa.String(200)),
    # The last mark that the tree was seen to have; a tree below it was lost, or put back.
    sa.Column("tree_mark", Number),
    # When that was written, by the clock of who led.
    sa.Column("marked_at", Instant),
    # Of the whole fleet, as of a node.
    sa.Column("paused_at", Instant),
    sa.Column("resumed_at", Instant),
    sa.Column("writes", Number, nullable=False),
)

# Times of which SQL knows only what nodes told again: it was put back to what it had been when they began. The
# epoch is the one in which that was set right.
unvouched = _table(
    "unvouched",
    sa.Column("epoch", Number, primary_key=True, autoincrement=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
)

audit = _table(
    "audit",
    sa.Column("id", Number, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("job_id", Number),
    sa.Column("detail", LongText, nullable=False),
    sa.Column("request_id", sa.String(64)),
)

# One row: the oldest form whose code can work with the tables as they are, see `upgrade`.
schema_info = _table(
    "schema_info",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1
    sa.Column("oldest", sa.String(16), nullable=False),
)
