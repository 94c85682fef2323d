"""Jobs in SQL. A job is never deleted: one that was removed or is done has ended, and is on no node."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import (
    ONLY,
    Artifact,
    Copies,
    Definition,
    Job,
    JobStatus,
    NewJob,
    RunState,
    replace,
)
from cronkeeper.common.schedule import ONCE

from . import copies, schedules
from .job_query import JobQuery, narrowed
from .schema import REASON_LENGTH, job

CHUNK = 500
"""Ids in one statement: SQLite takes 32,766 parameters at most, older ones 999."""

_ARTIFACT = (job.c.artifact_sha256, job.c.artifact_filename, job.c.artifact_size)
_INSERT = sa.insert(job)
_JOB = sa.select(*(job.c[field.name] for field in fields(Job) if field.name != "artifact"), *_ARTIFACT)
# With the ids as one parameter SQLAlchemy finds the compiled statement again without a look at each of them.
_BY_IDS = _JOB.where(job.c.id.in_(sa.bindparam("ids", expanding=True)))
_FIRST = JobQuery()
UNKNOWN, LOST = copies.UNKNOWN, copies.LOST
_DECIDING = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What the leader told the nodes of a job: this rev of it is at this node in this generation, or at none.

    A `rev` of UNKNOWN says that the nodes know none of its revs from now on; 0 leaves it at what they know.
    `placement` says to people why it is where it is.
    """

    job_id: int
    rev: int
    node: str | None
    gen: str | None
    placement: str | None
    copy: int = ONLY


def insert(conn: Connection, new: NewJob, actor: str, now: datetime, number: int | None = None) -> Job:
    """Number a job, where it has no number yet. Nothing is due of it before `now`."""
    values: dict[str, Any] = {field.name: getattr(new, field.name) for field in fields(NewJob)}
    values |= {
        "effective_from": now,
        "rev": 1,
        "published_rev": 0,
        "status": JobStatus.SCHEDULED,
        "created_by": actor,
        "created_at": now,
        "updated_at": now,
    }
    artifact = values.pop("artifact")
    columns = values | _artifact_columns(artifact) | {"unpublished": True}
    columns |= {} if number is None else {"id": number}
    key = conn.execute(_INSERT, columns).inserted_primary_key
    assert key is not None
    return Job(id=key[0], artifact=artifact, assigned_node=None, placement=None, ended_at=None, **values)


def get(conn: Connection, job_id: int, *, lock: bool = False) -> Job:
    """With `lock` nobody else changes it before this transaction ends. Raises: NotFound."""
    chosen = _JOB.where(job.c.id == job_id)
    found = _jobs(conn, chosen.with_for_update() if lock else chosen)
    if not found:
        raise NotFound(f"there is no job {job_id}")
    return found[0]


def assignments(conn: Connection) -> dict[copies.Key, tuple[str | None, str | None]]:
    """The node and the generation of the last publication of every job that has not ended, by job and copy."""
    open_ = sa.and_(job.c.ended_at.is_(None), job.c.copies == Copies.ONE)
    chosen = sa.select(job.c.id, job.c.assigned_node, job.c.gen).where(open_)
    known = {(row.id, ONLY): (row.assigned_node, row.gen) for row in conn.execute(chosen)}
    return known | copies.assignments(conn)


def demands(conn: Connection) -> list[tuple[int, str | None, dict[str, str], Copies]]:
    """Id, node, labels and copies of every job that has not ended and can't be on just any node, or is on all."""
    some = sa.or_(job.c.node.is_not(None), job.c.requires.is_not(None), job.c.copies == Copies.ALL)
    chosen = sa.select(job.c.id, job.c.node, job.c.requires, job.c.copies)
    open_ = chosen.where(job.c.ended_at.is_(None), some)
    return [(row.id, row.node, row.requires, row.copies) for row in conn.execute(open_)]


def explained(conn: Connection) -> dict[int, str]:
    """What people are told of where jobs are that have not ended, by their ids; most need no word."""
    chosen = sa.select(job.c.id, job.c.placement).where(
        job.c.ended_at.is_(None), job.c.placement.is_not(None)
    )
    return {row.id: row.placement for row in conn.execute(chosen)}


def listing(conn: Connection, query: JobQuery = _FIRST) -> list[Job]:
    """One page of the jobs that are asked for, the ended ones too."""
    return _jobs(conn, narrowed(_JOB, query))


def by_ids(conn: Connection, ids: Iterable[int]) -> list[Job]:
    """Those of the jobs that exist, in no order."""
    return [found for chunk in chunks(ids) for found in _jobs(conn, _BY_IDS, {"ids": chunk})]


def not_ended(conn: Connection) -> list[Job]:
    """All jobs that have not ended, in no order."""
    return _jobs(conn, _JOB.where(job.c.ended_at.is_(None)))


def unpublished(conn: Connection, after: int = 0, limit: int = 1000) -> list[Job]:
    """Up to `limit` jobs with a rev that the nodes do not know yet, by id, above `after`, the ended ones too."""
    chosen = _JOB.where(job.c.unpublished == sa.true(), job.c.id > after)
    return _jobs(conn, chosen.order_by(job.c.id).limit(limit))


def open_one_shots(conn: Connection, after: int, due_before: datetime, limit: int) -> list[Job]:
    """Up to `limit` jobs whose one tick was due before that and that have not ended, by id, above `after`."""
    due = sa.func.coalesce(job.c.at, job.c.effective_from, type_=job.c.at.type)
    open_ = sa.and_(job.c.schedule == ONCE, job.c.ended_at.is_(None), due < due_before)
    return _jobs(conn, _JOB.where(job.c.id > after, open_).order_by(job.c.id).limit(limit))


def edit(conn: Connection, before: Job, new: Definition, effective_from: datetime, now: datetime) -> Job:
    """Let a job be what `new` says, as its next rev; nothing is due of that before `effective_from`.

    Raises:
        Conflict: it is no longer as it was `before`.
    """
    changes: dict[str, Any] = {field.name: getattr(new, field.name) for field in fields(Definition)}
    changes |= {"effective_from": effective_from, "rev": before.rev + 1, "updated_at": now}
    after = replace(before, **changes)
    artifact = changes.pop("artifact")
    columns = changes | _artifact_columns(artifact) | {"unpublished": True}
    which = sa.and_(job.c.id == before.id, job.c.rev == before.rev)
    if conn.execute(sa.update(job).where(which).values(columns)).rowcount != 1:
        raise Conflict(f"job {before.id} was changed at this moment by somebody else")
    schedules.note_edit(conn, before, after)
    return after


def remove(conn: Connection, job_id: int, now: datetime) -> Job:
    """End a job by somebody's wish; one that is finished already stays as it is. Raises: NotFound."""
    before = get(conn, job_id, lock=True)
    if before.ended_at is None:
        schedules.note_removal(conn, before, now)
    finished = sa.and_(job.c.ended_at.is_not(None), job.c.status == JobStatus.FINISHED)
    _end(conn, sa.and_(job.c.id == job_id, ~finished), now, JobStatus.FINISHED)
    return get(conn, job_id)


def finish(conn: Connection, job_id: int, now: datetime, status: JobStatus) -> bool:
    """End a one-shot that is done, as FINISHED or ERROR; False where the job had ended already or is none."""
    return _end(conn, sa.and_(job.c.id == job_id, job.c.ended_at.is_(None)), now, status)


def lose_claims(conn: Connection) -> None:
    """No job is published any more; where each was last stays known."""
    # One that rested before it was to leave its node was there as none of its revs.
    ever = sa.or_(job.c.published_rev > 0, job.c.gen.is_not(None))
    published = sa.and_(job.c.ended_at.is_(None), ever)
    one = sa.and_(published, job.c.copies == Copies.ONE)
    conn.execute(sa.update(job).where(one).values(gen=LOST, published_rev=0, unpublished=True))
    copies.lose_claims(conn)
    lost = sa.and_(published, job.c.copies == Copies.ALL)
    conn.execute(sa.update(job).where(lost).values(published_rev=0, unpublished=True))


def publish(conn: Connection, publications: Sequence[Publication]) -> None:
    """Note where jobs are now and that the nodes know them up to these revs.

    One whose claim was lost stays so, with its last node, until it is on a node again.

    Raises:
        NotFound: one of the jobs is none.
    """
    copied = [_of_copy(each) for each in publications if each.copy != ONLY]
    copies.publish(conn, copied)
    publications = [each for each in publications if each.copy == ONLY]
    if not publications:
        return
    known = sa.bindparam("known_rev", type_=sa.Integer)
    newest = sa.case((known == UNKNOWN, 0), (job.c.published_rev < known, known), else_=job.c.published_rev)
    gen = sa.bindparam("new_gen", type_=sa.String)
    waits = sa.and_(job.c.gen == LOST, job.c.ended_at.is_(None), gen.is_(None))
    values = {
        "assigned_node": sa.case(
            (waits, job.c.assigned_node), else_=sa.bindparam("new_node", type_=sa.String)
        ),
        "gen": sa.case((waits, job.c.gen), else_=gen),
        "placement": sa.bindparam("new_placement"),
        "published_rev": newest,
        # MySQL has assigned published_rev by now, the others have not: `newest` is the same for both.
        "unpublished": job.c.rev > newest,
    }
    statement = sa.update(job).where(job.c.id == sa.bindparam("this_id")).values(values)
    if conn.execute(statement, [_parameters(p) for p in publications]).rowcount != len(publications):
        raise NotFound("one of the published jobs does not exist")


def _end_of_run(status: Any) -> sa.Update:
    moment = sa.bindparam("moment", type_=job.c.status_moment.type)
    newest = sa.or_(job.c.status_moment.is_(None), job.c.status_moment <= moment)
    open_ = sa.and_(job.c.id == sa.bindparam("this_id"), job.c.status != JobStatus.FINISHED, newest)
    return sa.update(job).where(open_).values(status=status, status_moment=moment)


# Every run ends with one of these. They are made once: to make one takes longer than to carry it out.
_BAD_END = _end_of_run(JobStatus.ERROR)
_GOOD_STATUS = sa.case((job.c.ended_at.is_(None), JobStatus.SCHEDULED), else_=JobStatus.FINISHED)
_GOOD_END = _end_of_run(sa.cast(_GOOD_STATUS, job.c.status.type))


def note_outcome(conn: Connection, job_id: int, state: RunState, moment: datetime, copy: int = ONLY) -> None:
    """Let the end of a run decide the job's status, unless a newer run, by its `moment`, already has.

    Equal moments mean the same run, of which more is known now. A run that was skipped or canceled decides
    nothing, and a finished job stays finished. Of a job with many copies see `copies.note_outcome`.
    """
    if state not in _DECIDING:
        return
    if copy != ONLY:
        copies.note_outcome(conn, (job_id, copy), moment, bad=state.bad)
        return
    conn.execute(_BAD_END if state.bad else _GOOD_END, {"this_id": job_id, "moment": moment})


def chunks(ids: Iterable[Any]) -> Iterable[list[Any]]:
    """The ids in lists that fit into one statement each."""
    rest = iter(ids)
    return iter(lambda: list(islice(rest, CHUNK)), [])


def _end(conn: Connection, which: sa.ColumnElement[bool], now: datetime, status: JobStatus) -> bool:
    values = {
        "ended_at": sa.func.coalesce(job.c.ended_at, sa.literal(now, job.c.ended_at.type)),
        "updated_at": now,
        "status": status,
        "rev": job.c.rev + 1,
        "unpublished": True,
    }
    return conn.execute(sa.update(job).where(which).values(values)).rowcount == 1


def _of_copy(new: Publication) -> dict[str, Any]:
    return {"this_job": new.job_id, "this_copy": new.copy, "known_rev": new.rev, "new_gen": new.gen}


def _parameters(new: Publication) -> dict[str, Any]:
    return {
        "this_id": new.job_id,
        "known_rev": new.rev,
        "new_node": new.node,
        "new_gen": new.gen,
        "new_placement": None if new.placement is None else new.placement[:REASON_LENGTH],
    }


def _artifact_columns(artifact: Artifact | None) -> dict[str, Any]:
    values = (None, None, None) if artifact is None else (artifact.sha256, artifact.filename, artifact.size)
    return dict(zip((column.name for column in _ARTIFACT), values, strict=True))


def _jobs(conn: Connection, chosen: sa.Select[Any], values: dict[str, Any] | None = None) -> list[Job]:
    return [_job(row) for row in conn.execute(chosen, values)]


def _job(row: Row[Any]) -> Job:
    values = row._asdict()
    sha256, filename, size = (values.pop(column.name) for column in _ARTIFACT)
    return Job(artifact=None if sha256 is None else Artifact(sha256, filename, size), **values)
