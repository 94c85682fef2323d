"""What requests with an Idempotency-Key made, so that one that is repeated makes nothing more."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, Invalid

from .schema import idempotency


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One request: whose it is, the key it came with, and the SHA-256 of its body in hex."""

    actor: str
    key: str
    fingerprint: str


class Taken(Conflict):
    """Another request with this key was written at the same moment: look again."""


def job_of(conn: Connection, asked: Key) -> int | None:
    """The job that the first request with this key made; None where there was none.

    Raises:
        Invalid: the first request had another body.
    """
    which = sa.and_(idempotency.c.actor == asked.actor, idempotency.c.key == asked.key)
    chosen = sa.select(idempotency.c.job_id, idempotency.c.fingerprint).where(which)
    row = conn.execute(chosen).one_or_none()
    if row is None:
        return None
    if row.fingerprint != asked.fingerprint:
        raise Invalid(
            f"the Idempotency-Key {asked.key!r} was sent before with another body, which made job {row.job_id}: "
            "repeat that body, or take a new key"
        )
    job_id: int = row.job_id
    return job_id


def add(conn: Connection, asked: Key, job_id: int, now: datetime) -> None:
    """Note which job the request made, in the transaction that makes it. Raises: Taken."""
    values = {"actor": asked.actor, "key": asked.key, "fingerprint": asked.fingerprint}
    try:
        conn.execute(sa.insert(idempotency), values | {"job_id": job_id, "created_at": now})
    except sa.exc.IntegrityError as error:
        raise Taken(f"the Idempotency-Key {asked.key!r} was taken at this moment") from error
