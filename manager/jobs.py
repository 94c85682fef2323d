"""The front desk for jobs: what has been checked comes in, is persisted, and is handed to the leader."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, Outdated
from cronkeeper.common.model import Definition, Job, NewJob
from cronkeeper.common.schedule import ONCE
from cronkeeper.common.store import copies, idempotency, jobs
from cronkeeper.common.store.idempotency import Key
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.manager.desk import Desk, note, tell_leader

WHEN = frozenset({"schedule", "timezone", "at"})
"""The fields that say when a job is due: a change of one of them never replays the past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of a job: what it makes of it, what the audit calls it, whose it is, and when.

    `change` must have no effects: it may be called more than once. `revs` are the revs, as text, of which the
    job must have one; None: any.
    """

    action: str
    change: Callable[[Job], Definition]
    actor: str
    now: datetime
    revs: frozenset[str] | None = None


def anybody_may(_job: Job) -> None:
    """What raises where somebody may not do something with a job: here, nobody is kept from it."""


def submit(desk: Desk, new: NewJob, actor: str, now: datetime) -> Job:
    """Persist a job, and let the leader place it. Its artifact, if it has one, is in the store already.

    Raises:
        Unavailable: the job may or may not be there.
    """
    job = desk.store.transaction(lambda connection: _insert(connection, new, actor, now), writes=True)
    tell_leader(desk.tree, job.id, job.rev)
    return job


def submit_once(desk: Desk, new: NewJob, key: Key, now: datetime) -> tuple[Job, bool]:
    """As `submit`, unless a request with this key has made a job already: then that one, and True.

    Raises:
        Invalid: the earlier request had another body.
        Unavailable: the job may or may not be there; the same request may be repeated.
    """

    def work(connection: Connection) -> tuple[Job, bool]:
        earlier = idempotency.job_of(connection, key)
        if earlier is not None:
            return jobs.get(connection, earlier), True
        job = _insert(connection, new, key.actor, now)
        idempotency.add(connection, key, job.id, now)
        return job, False

    try:
        job, repeated = desk.store.transaction(work, writes=True)
    except idempotency.Taken:
        job, repeated = desk.store.transaction(work, writes=True)
    _tell_unless_known(desk, job)
    return job, repeated


def made_by(desk: Desk, key: Key) -> Job | None:
    """The job that an earlier request with this key made. Raises: Invalid, as `submit_once`; Unavailable.

    What took in that one may have died before the leader was told.
    """

    def work(connection: Connection) -> Job | None:
        earlier = idempotency.job_of(connection, key)
        return jobs.get(connection, earlier) if earlier is not None else None

    job = desk.store.transaction(work)
    if job is not None:
        _tell_unless_known(desk, job)
    return job


def edit(desk: Desk, job_id: int, wanted: Edit) -> Job:
    """Change a job, as its next rev; one that is so already stays as it is.

    Raises:
        NotFound: there is no such job.
        Outdated: its rev is none of those that were named.
        Conflict: it has ended.
        Unavailable: it may or may not be changed.
    """

    job, changed = desk.store.transaction(lambda connection: _edit(connection, job_id, wanted), writes=True)
    if changed:
        tell_leader(desk.tree, job.id, job.rev)
    return job


def remove(
    desk: Desk,
    job_id: int,
    actor: str,
    now: datetime,
    *,
    revs: frozenset[str] | None = None,
    check: Callable[[Job], None] = anybody_may,
) -> Job:
    """Take a job off its node. It stays readable, as `finished`; a run in progress goes on to its end.

    `check` raises where this actor may not.

    Raises: NotFound, Outdated (see `Edit.revs`), Unavailable.
    """

    def work(connection: Connection) -> Job:
        before = jobs.get(connection, job_id, lock=True)
        check(before)
        _refuse_outdated(before, revs)
        job = jobs.remove(connection, job_id, now)
        if before.ended_at is None:
            note(connection, actor, "remove", now, detail=job.name, job_id=job_id)
        return job

    job = desk.store.transaction(work, writes=True)
    tell_leader(desk.tree, job.id, job.rev)
    return job


def get(desk: Desk, job_id: int) -> Job:
    """Raises: NotFound, Unavailable."""
    return desk.store.transaction(lambda connection: jobs.get(connection, job_id))


def copies_of(desk: Desk, job_id: int) -> Sequence[copies.Copy]:
    """The copies that a job has, or has had, where it is on every node. Raises: NotFound, Unavailable."""

    def work(connection: Connection) -> Sequence[copies.Copy]:
        jobs.get(connection, job_id)
        return copies.of_jobs(connection, [job_id])

    return desk.store.transaction(work)


def listing(desk: Desk, query: JobQuery) -> Sequence[Job]:
    """One page of jobs. Raises: Unavailable."""
    return desk.store.transaction(lambda connection: jobs.listing(connection, query))


def refuse_ended(job: Job) -> None:
    """Raise `Conflict` for a job that was removed, or whose one tick is done."""
    if job.ended_at is not None:
        raise Conflict(f"job {job.id} has ended at {job.ended_at:%F %TZ}: create a new one to run it again")


def _tell_unless_known(desk: Desk, job: Job) -> None:
    if job.rev > job.published_rev:
        tell_leader(desk.tree, job.id, job.rev)


def _insert(connection: Connection, new: NewJob, actor: str, now: datetime) -> Job:
    job = jobs.insert(connection, new, actor, now)
    note(connection, actor, "create", now, detail=job.name, job_id=job.id)
    return job


def _edit(connection: Connection, job_id: int, wanted: Edit) -> tuple[Job, bool]:
    """The job, and whether it was changed."""
    before = jobs.get(connection, job_id, lock=True)
    _refuse_outdated(before, wanted.revs)
    refuse_ended(before)
    new = wanted.change(before)
    changed = _changed(before, new)
    if not changed:
        return before, False
    if "enabled" in changed and new.enabled and new.at is not None and new.at < wanted.now:
        raise Conflict(f"job {job_id} was due at {new.at:%F %TZ}, while it was paused: give it another `at`")
    # The tick of a one-shot without an instant is that of its creation: it must not get another name.
    same_tick = before.schedule == new.schedule == ONCE and before.at is None and new.at is None
    anew = bool(WHEN & set(changed)) or ("enabled" in changed and new.enabled)
    begins = anew and not same_tick
    effective_from = wanted.now if begins else before.effective_from
    job = jobs.edit(connection, before, new, effective_from, wanted.now)
    # The names of the fields only: what is in them may be secret.
    detail = f"{job.name}: {', '.join(changed)}"
    note(connection, wanted.actor, wanted.action, wanted.now, detail=detail, job_id=job_id)
    return job, True


def _changed(before: Job, new: Definition) -> list[str]:
    """The names of the fields in which the two differ."""
    names = [field.name for field in fields(Definition)]
    return [name for name in names if getattr(before, name) != getattr(new, name)]


def _refuse_outdated(job: Job, revs: frozenset[str] | None) -> None:
    if revs is not None and str(job.rev) not in revs:
        raise Outdated(f"job {job.id} is at rev {job.rev} now, not at what If-Match says: look at it again")
