"""What of the history is old, found a few rows at a time, each time by an index."""

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.model import FINAL

from .jobs import chunks
from .schema import idempotency, job, run, run_output

Place = tuple[datetime, str]
"""`created_at` and id of a run: the order of the runs of a job."""

_NEWEST_FIRST = (run.c.created_at.desc(), run.c.id.desc())


def job_ids(conn: Connection, after: int, limit: int) -> list[int]:
    """The next jobs, by id, the ended ones too."""
    return list(conn.scalars(sa.select(job.c.id).where(job.c.id > after).order_by(job.c.id).limit(limit)))


def place_of_old(conn: Connection, job_id: int, most: int, before: datetime | None) -> Place | None:
    """The newest run of the job that is beyond its `most` newest, or made `before` that; 0, None: no limit.

    All runs up to it, itself too, are old. None where none is.
    """
    places: list[Place] = [] if before is None else [(before, "")]
    if most > 0:
        chosen = sa.select(run.c.created_at, run.c.id).where(run.c.job_id == job_id)
        row = conn.execute(chosen.order_by(*_NEWEST_FIRST).offset(most).limit(1)).one_or_none()
        places += [] if row is None else [(row.created_at, row.id)]
    return max(places, default=None)


def old_runs(conn: Connection, job_id: int, place: Place, limit: int) -> list[str]:
    """Up to `limit` runs of the job that have ended, up to this place, oldest first; never its newest."""
    newest = sa.select(run.c.id).where(run.c.job_id == job_id).order_by(*_NEWEST_FIRST).limit(1)
    chosen = sa.select(run.c.id).where(run.c.job_id == job_id, _up_to(place), run.c.state.in_(FINAL))
    chosen = chosen.where(run.c.id != conn.scalar(newest))
    return list(conn.scalars(chosen.order_by(run.c.created_at, run.c.id).limit(limit)))


def runs_with_output(conn: Connection, job_id: int, after: str, limit: int) -> list[str]:
    """The runs of the job that outputs are kept of, by id; from at most `limit` rows of outputs."""
    # The ids of a job's runs begin with its own and a dot, and a slash comes next after that.
    ids = run_output.c.run_id
    chosen = sa.select(ids).where(ids > max(after, f"{job_id}."), ids < f"{job_id}/")
    return list(dict.fromkeys(conn.scalars(chosen.order_by(ids).limit(limit))))


def old_of(conn: Connection, run_ids: Iterable[str], place: Place) -> list[str]:
    """Those of the runs that are up to this place, or are not there at all."""
    old: list[str] = []
    for ids in chunks(run_ids):
        young = set(conn.scalars(sa.select(run.c.id).where(run.c.id.in_(ids), sa.not_(_up_to(place)))))
        old += [run_id for run_id in ids if run_id not in young]
    return old


def remove_runs(conn: Connection, run_ids: Collection[str]) -> int:
    """Forget these runs, where they have ended; returns how many there were."""
    removed = 0
    for ids in chunks(run_ids):
        which = sa.and_(run.c.id.in_(ids), run.c.state.in_(FINAL))
        removed += conn.execute(sa.delete(run).where(which)).rowcount
    return removed


def forget_requests(conn: Connection, before: datetime, limit: int) -> int:
    """Forget up to `limit` Idempotency-Keys of before that moment; returns how many there were."""
    columns = idempotency.c
    chosen = sa.select(columns.actor, columns.key).where(columns.created_at < before)
    rows = conn.execute(chosen.order_by(columns.created_at).limit(limit)).all()
    if rows:
        which = sa.and_(columns.actor == sa.bindparam("this_actor"), columns.key == sa.bindparam("this_key"))
        keys = [{"this_actor": row.actor, "this_key": row.key} for row in rows]
        conn.execute(sa.delete(idempotency).where(which), keys)
    return len(rows)


def _up_to(place: Place) -> sa.ColumnElement[bool]:
    moment, run_id = place
    earlier = sa.or_(run.c.created_at < moment, run.c.id <= run_id)
    return sa.and_(run.c.created_at <= moment, earlier)
