"""When jobs were due before they were edited, paused or removed: the ledger must know what was expected."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import NotFound
from cronkeeper.common.expected import Dated, Period
from cronkeeper.common.model import Job, SkipReason

from .schema import job as job_rows
from .schema import past_schedule

_COLUMNS = past_schedule.c
_DATED = sa.select(
    job_rows.c.id.label("job_id"),
    *(job_rows.c[field.name] for field in fields(Dated) if field.name != "job_id"),
)


def dated(conn: Connection, job_id: int) -> Dated:
    """When a job is due as it is now. Raises: NotFound."""
    row = conn.execute(_DATED.where(job_rows.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return Dated(**row._asdict())


def all_dated(conn: Connection, after: int, ended_since: datetime, limit: int) -> list[Dated]:
    """The next jobs, by id, above `after`: of those that have ended, only the ones that did so of late."""
    of_late = sa.or_(job_rows.c.ended_at.is_(None), job_rows.c.ended_at >= ended_since)
    chosen = _DATED.where(job_rows.c.id > after, of_late).order_by(job_rows.c.id).limit(limit)
    return [Dated(**row._asdict()) for row in conn.execute(chosen)]


def note_edit(conn: Connection, before: Job, after: Job) -> None:
    """Keep when the job was due, where the edit makes that another; `after.updated_at` is when."""
    if before.enabled and not after.enabled:
        note(conn, before, after.updated_at, SkipReason.PAUSED)
    elif _when(before) != _when(after):
        note(conn, before, after.updated_at, SkipReason.EDITED)


def note_removal(conn: Connection, job: Job, now: datetime) -> None:
    """Keep when the job was due that is removed now."""
    note(conn, job, now, SkipReason.REMOVED)


def past(conn: Connection, job_ids: Iterable[int]) -> dict[int, list[Period]]:
    """The periods of these jobs that are over, oldest first."""
    chosen = sa.select(past_schedule).where(_COLUMNS.job_id.in_(list(job_ids)))
    found: dict[int, list[Period]] = {}
    for row in conn.execute(chosen.order_by(_COLUMNS.job_id, _COLUMNS.rev)):
        period = Period(
            schedule=row.schedule,
            at=row.at,
            timezone=row.timezone,
            effective_from=row.effective_from,
            until=row.until,
            reason=row.reason,
        )
        found.setdefault(row.job_id, []).append(period)
    return found


def forget(conn: Connection, before: datetime, limit: int) -> int:
    """Forget up to `limit` periods that were over before that moment; returns how many there were."""
    chosen = sa.select(_COLUMNS.job_id, _COLUMNS.rev).where(_COLUMNS.until < before)
    rows = conn.execute(chosen.order_by(_COLUMNS.until).limit(limit)).all()
    if rows:
        which = sa.and_(_COLUMNS.job_id == sa.bindparam("this_job"), _COLUMNS.rev == sa.bindparam("this_rev"))
        keys = [{"this_job": row.job_id, "this_rev": row.rev} for row in rows]
        conn.execute(sa.delete(past_schedule).where(which), keys)
    return len(rows)


def _when(job: Job) -> tuple[object, ...]:
    return job.schedule, job.at, job.timezone, job.effective_from


def note(conn: Connection, job: Job, until: datetime, reason: SkipReason) -> None:
    """Keep when the job was due up to `until`, if it was."""
    if not job.enabled or job.schedule is None:
        return
    values = {
        "job_id": job.id,
        "rev": job.rev,
        "schedule": job.schedule,
        "at": job.at,
        "timezone": job.timezone,
        "effective_from": job.effective_from,
        "until": until,
        "reason": reason,
    }
    conn.execute(sa.insert(past_schedule).values(values))
