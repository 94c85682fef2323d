"""SQL that was put back to a backup: what it is told then, and the times of which it knows only a part.

All is called in transactions of who leads next, see `manager.put_back`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict
from cronkeeper.common.ledger import Span
from cronkeeper.common.model import Concurrency, Copies, Job, JobType, NewJob, RunState, Spec

from . import copies, jobs, runs
from .nodes import NO_KEY
from .schema import audit, job, node, run, unvouched

ACTOR = "cronkeeper"
"""Who did what nobody asked for."""
LEAP = 1000
"""How many numbers of jobs are left out: some may have been given to jobs of which nothing is left."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = NewJob(
    type=JobType.COMMAND,
    name="",
    command=None,
    artifact=None,
    schedule=None,
    at=None,
    timezone="UTC",
    run_as=None,
    concurrency=Concurrency.FORBID,
)


@dataclass(frozen=True, slots=True)
class Again:
    """A job that is to be published again: as this rev, and nothing is due of it before `effective_from`."""

    job: Job
    """As it was read."""
    rev: int
    effective_from: datetime
    nowhere: bool
    """It is on no node."""


def note(conn: Connection, epoch: int, span: Span) -> None:
    """Of that time SQL knows only what it is told again."""
    conn.execute(sa.insert(unvouched), {"epoch": epoch, "since": span.since, "until": span.until})


def spans(conn: Connection) -> list[Span]:
    """All such times, oldest first."""
    chosen = sa.select(unvouched.c.since, unvouched.c.until).order_by(unvouched.c.epoch)
    return [Span(row.since, row.until) for row in conn.execute(chosen)]


def newest_deed(conn: Connection) -> datetime:
    """When somebody did something last, as SQL knows it."""
    found = conn.scalar(sa.select(audit.c.at).order_by(audit.c.id.desc()).limit(1))
    return _BEGINNING if found is None else found


def publish_again(conn: Connection, again: Again, now: datetime) -> None:
    """Let the leader publish a job, whatever was known of where it is. Raises: Conflict, where it was edited."""
    values: dict[str, Any] = {"rev": again.rev, "published_rev": 0, "unpublished": True}
    values |= {"effective_from": again.effective_from, "updated_at": now}
    if again.nowhere:
        values |= {"assigned_node": None, "gen": None, "placement": None}
    as_read = sa.and_(job.c.id == again.job.id, job.c.rev == again.job.rev)
    if conn.execute(sa.update(job).where(as_read).values(values)).rowcount != 1:
        raise Conflict(f"job {again.job.id} was edited meanwhile: all is looked at again")


def put_back(conn: Connection, spec: Spec, now: datetime) -> None:
    """Know a job again by what was published of it. When it was made, and by whom, is not in that."""
    jobs.insert(conn, defined(spec), ACTOR, spec.effective_from, spec.job_id)
    values = {"rev": spec.rev, "updated_at": now}
    if not spec.resting and spec.copies is Copies.ONE:
        values |= {"published_rev": spec.rev, "unpublished": False}
    conn.execute(sa.update(job).where(job.c.id == spec.job_id).values(values))


def defined(spec: Spec) -> NewJob:
    """What the spec says of its job. One that rests is as it was published: not enabled."""
    return NewJob(**{field.name: getattr(spec, field.name) for field in fields(NewJob)})


def number_above(conn: Connection, highest: int, now: datetime) -> int:
    """Give no job a number up to this one, nor any that is known; returns the last one that is left out."""
    known: int | None = conn.scalar(sa.select(sa.func.max(job.c.id)))
    last = max(highest, 0 if known is None else known) + LEAP
    # A row that is taken away again leaves the count where it was, in every database.
    jobs.insert(conn, _NOBODY, ACTOR, now, last)
    conn.execute(sa.delete(job).where(job.c.id == last))
    return last


def let_in(conn: Connection, names: Collection[str], now: datetime) -> list[str]:
    """Let in the nodes that are not known, by name, without their keys; returns which these are."""
    known = set(conn.scalars(sa.select(node.c.name)))
    new = sorted(set(names) - known)
    for name in new:
        conn.execute(sa.insert(node), {"name": name, "public_key": NO_KEY, "added_at": now})
    return new


def know_copies(conn: Connection, there: Mapping[tuple[int, int], str], gap: Span) -> None:
    """Each node goes by the number that its copies have; those that are not known count from the gap's begin on.

    `there` are those that have a claim, see `Sighting`. All others count from now on: what they ran nobody knows.
    """
    on_nodes = {key: name for key, name in there.items() if name != ""}
    for name, number in {name: number for (_, number), name in on_nodes.items()}.items():
        conn.execute(sa.update(node).where(node.c.name == name).values(number=number))
    copies.begin(conn, on_nodes.items(), gap.since)
    for key in copies.open_keys(conn) - there.keys():
        copies.begin_anew(conn, key, gap.until)


def lose_runs(conn: Connection, listed: Collection[str], reason: str, now: datetime) -> int:
    """Give up the runs that have not ended, but for those that are listed; returns how many."""
    states = (RunState.QUEUED, RunState.CLAIMED, RunState.RUNNING)
    unended: Iterable[str] = conn.scalars(sa.select(run.c.id).where(run.c.state.in_(states))).all()
    return sum(runs.lose(conn, run_id, reason, now) for run_id in unended if run_id not in listed)


def open_and_ended(conn: Connection, ids: Iterable[int]) -> tuple[list[Job], list[Job]]:
    """All jobs that have not ended, and those of these ids that have."""
    found = jobs.not_ended(conn)
    others = set(ids) - {each.id for each in found}
    return found, jobs.by_ids(conn, others)
