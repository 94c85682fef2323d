"""The front desk for runs: asking for one by hand, and reading what became of them."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.model import Output, Run, RunState, StartedBy, hand_run_id
from cronkeeper.common.store import audit, jobs, runs
from cronkeeper.manager.desk import Desk, tell_leader
from cronkeeper.manager.jobs import refuse_ended


def request(desk: Desk, job_id: int, actor: str, now: datetime) -> Run:
    """Ask for a run now; the leader sends it to the job's node.

    Raises:
        NotFound: there is no such job.
        Conflict: the job has ended.
        Unavailable: the run may or may not have been asked for.
    """

    def work(connection: Connection) -> tuple[Run, int]:
        job = jobs.get(connection, job_id)
        refuse_ended(job)
        run = _queued(job_id, actor, now)
        runs.request(connection, run)
        audit.add(connection, actor=actor, action="run", job_id=job_id, detail=run.id, now=now)
        return run, job.rev

    run, rev = desk.store.transaction(work, writes=True)
    tell_leader(desk.tree, job_id, rev)
    return run


def get(desk: Desk, run_id: str) -> Run:
    """Raises: NotFound, Unavailable."""
    return desk.store.transaction(lambda connection: runs.get(connection, run_id))


def listing(
    desk: Desk,
    job_id: int,
    *,
    limit: int,
    state: RunState | None = None,
    before: tuple[datetime, str] | None = None,
) -> Sequence[Run]:
    """The newest runs of a job, newest first, in one state or in all.

    `before` is `created_at` and `id` of the last one that was shown.

    Raises: NotFound, Unavailable.
    """

    def work(connection: Connection) -> Sequence[Run]:
        jobs.get(connection, job_id)
        return runs.listing(connection, job_id, limit=limit, state=state, before=before)

    return desk.store.transaction(work)


def newest(desk: Desk, job_ids: Sequence[int]) -> dict[int, Run]:
    """The newest run of each of the jobs that has one, by the job's id. Raises: Unavailable."""
    return desk.store.transaction(lambda connection: runs.newest(connection, job_ids))


def output(desk: Desk, run_id: str, stream: runs.Stream) -> Output:
    """What the run wrote; empty where it has not ended. Raises: NotFound, Unavailable."""

    def work(connection: Connection) -> Output | None:
        runs.get(connection, run_id)
        return runs.output(connection, run_id, stream)

    found = desk.store.transaction(work)
    return found if found is not None else Output(size=0, data=b"")


def _queued(job_id: int, actor: str, now: datetime) -> Run:
    return Run(
        id=hand_run_id(job_id, 1, secrets.token_hex(4)),
        job_id=job_id,
        copy=1,
        tick=None,
        attempt=1,
        state=RunState.QUEUED,
        started_by=StartedBy.HAND,
        node=None,
        gen=None,
        requested_by=actor,
        created_at=now,
        claimed_at=None,
        started_at=None,
        ended_at=None,
        exit_code=None,
        reason=None,
    )
