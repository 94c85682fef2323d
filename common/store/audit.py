"""Who did what, for ever."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from .schema import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that somebody did. `job_id` is None where it was done to no job."""

    id: int
    at: datetime
    actor: str
    action: str
    job_id: int | None
    detail: str
    request_id: str | None = None
    """The request that asked for it, up to 64 characters."""


def add(  # noqa: PLR0913 - one for each column
    conn: Connection,
    *,
    actor: str,
    action: str,
    job_id: int | None,
    detail: str,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """Write down what is done in this same transaction."""
    values = {
        "at": now,
        "actor": actor,
        "action": action,
        "job_id": job_id,
        "detail": detail,
        "request_id": request_id,
    }
    conn.execute(sa.insert(audit), values)


def listing(conn: Connection, *, after: int = 0, limit: int = 500) -> list[Entry]:
    """Up to `limit` entries with ids above `after`, oldest first."""
    chosen = sa.select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
    return [Entry(**row._asdict()) for row in conn.execute(chosen)]
