"""The front desk for jobs: what has been checked comes in, is persisted, and is handed to the leader."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict
from cronkeeper.common.model import Job, NewJob
from cronkeeper.common.store import audit, jobs
from cronkeeper.manager.desk import Desk, tell_leader


def submit(desk: Desk, new: NewJob, actor: str, now: datetime) -> Job:
    """Persist a job, and let the leader place it. Its artifact, if it has one, is in the store already.

    Raises:
        Unavailable: the job may or may not be there.
    """

    def work(connection: Connection) -> Job:
        job = jobs.insert(connection, new, actor, now)
        audit.add(connection, actor=actor, action="create", job_id=job.id, detail=job.name, now=now)
        return job

    job = desk.store.transaction(work)
    tell_leader(desk.tree, job.id, job.rev)
    return job


def remove(desk: Desk, job_id: int, actor: str, now: datetime) -> Job:
    """Take a job off its node. It stays readable, as `finished`; a run in progress goes on to its end.

    Raises: NotFound, Unavailable.
    """

    def work(connection: Connection) -> Job:
        before = jobs.get(connection, job_id)
        job = jobs.remove(connection, job_id, now)
        if before.ended_at is None:
            audit.add(connection, actor=actor, action="remove", job_id=job_id, detail=job.name, now=now)
        return job

    job = desk.store.transaction(work)
    tell_leader(desk.tree, job.id, job.rev)
    return job


def get(desk: Desk, job_id: int) -> Job:
    """Raises: NotFound, Unavailable."""
    return desk.store.transaction(lambda connection: jobs.get(connection, job_id))


def listing(desk: Desk, *, after: int, limit: int) -> Sequence[Job]:
    """The jobs with larger ids than `after`, by id. Raises: Unavailable."""
    return desk.store.transaction(lambda connection: jobs.listing(connection, after=after, limit=limit))


def refuse_ended(job: Job) -> None:
    """Raise `Conflict` for a job that was removed, or whose one tick is done."""
    if job.ended_at is not None:
        raise Conflict(f"job {job.id} has ended at {job.ended_at:%F %TZ}: create a new one to run it again")
