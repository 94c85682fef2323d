"""What SQL tells of a job's ticks, found by the names of their runs: those begin with job, copy and tick."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.model import Run

from .jobs import chunks
from .runs import of_rows
from .schema import job, run

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_AFTER_TICKS = ":"
"""Comes after every digit, and before what the names of runs by hand begin with."""


def told(conn: Connection, job_id: int, copy: int, begin: datetime, end: datetime) -> list[Run]:
    """The runs of all ticks from `begin` to before `end`, and the next one after them, where there is one."""
    copys = f"{job_id}.{copy}."
    first, behind = copys + _name(max(begin, _EARLIEST)), copys + _name(end + timedelta(microseconds=999_999))
    inside = sa.select(run).where(run.c.id >= first, run.c.id < behind)
    following = sa.select(run).where(run.c.id >= behind, run.c.id < copys + _AFTER_TICKS)
    return of_rows(conn, inside.order_by(run.c.id)) + of_rows(conn, following.order_by(run.c.id).limit(1))


def note_forgotten(conn: Connection, run_ids: Collection[str]) -> None:
    """Keep how far back each job is known, before these runs of it are removed."""
    newest: dict[int, datetime] = {}
    for ids in chunks(run_ids):
        chosen = sa.select(run.c.job_id, sa.func.max(run.c.tick, type_=run.c.tick.type).label("tick"))
        for row in conn.execute(
            chosen.where(run.c.id.in_(ids), run.c.tick.is_not(None)).group_by(run.c.job_id)
        ):
            newest[row.job_id] = max(row.tick, newest.get(row.job_id, row.tick))
    for job_id, tick in sorted(newest.items()):
        earlier = sa.or_(job.c.forgotten_tick.is_(None), job.c.forgotten_tick < tick)
        conn.execute(sa.update(job).where(job.c.id == job_id, earlier).values(forgotten_tick=tick))


def _name(tick: datetime) -> str:
    return f"{tick.astimezone(UTC):%Y%m%dT%H%M%SZ}"
