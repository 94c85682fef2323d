"""The front desk for runs: asking for one by hand, and reading what became of them."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.artifacts.store import OutputName, StoredOutput
from cronkeeper.common.errors import Conflict, Invalid, NotFound
from cronkeeper.common.model import ONLY, Copies, Job, Output, Run, RunState, StartedBy, hand_run_id
from cronkeeper.common.store import copies, jobs, runs
from cronkeeper.manager.desk import Desk, note, tell_leader
from cronkeeper.manager.jobs import anybody_may, refuse_ended

MAX_WAITING = 100
"""How many runs of one job may have been asked for and not begun."""
KEY_DIGITS = 16
"""Hexadecimal ones of a key, in the id of the run that was asked for with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A run that somebody asks for now; of a job with a copy on each node, which of them is to run it."""

    job_id: int
    actor: str
    now: datetime
    node: str | None = None


def request(desk: Desk, wish: Wish, *, check: Callable[[Job], None] = anybody_may) -> Run:
    """Ask for a run now; the leader sends it to the job's node.

    `check` raises where this actor may not.

    Raises:
        NotFound: there is no such job.
        Conflict: the job has ended, or too many of its runs wait already, or it has no copy on that node.
        Invalid: a node is named and the job has one copy, or none is and it has many.
        Unavailable: the run may or may not have been asked for.
    """
    return _request(desk, wish, secrets.token_hex(4), check)[0]


def request_once(desk: Desk, wish: Wish, key: str, *, check: Callable[[Job], None]) -> tuple[Run, bool]:
    """As `request`, unless this actor has asked for a run of this job with this key already: then that, and True.

    The key is in the run's id, so it counts for as long as the run is kept.
    """
    told_apart = hashlib.sha256(f"{wish.actor}\n{key}".encode()).hexdigest()[:KEY_DIGITS]
    return _request(desk, wish, told_apart, check)


def _request(desk: Desk, wish: Wish, told_apart: str, check: Callable[[Job], None]) -> tuple[Run, bool]:
    """The run, and whether it was asked for before."""
    job_id = wish.job_id

    def work(connection: Connection) -> tuple[Run, bool, int]:
        job = jobs.get(connection, job_id)
        check(job)
        asked = _queued(wish, _copy(connection, job, wish.node), told_apart)
        earlier = runs.by_ids(connection, [asked.id])
        if earlier:
            return earlier[asked.id], True, job.rev
        refuse_ended(job)
        if runs.waiting(connection, job_id) >= MAX_WAITING:
            raise Conflict(
                f"{MAX_WAITING} runs of job {job_id} wait to be started: ask again when some have begun"
            )
        if not runs.request(connection, asked):
            return runs.get(connection, asked.id), True, job.rev
        note(connection, wish.actor, "run", wish.now, detail=asked.id, job_id=job_id)
        return asked, False, job.rev

    run, repeated, rev = desk.store.transaction(work, writes=True)
    if run.state is RunState.QUEUED:
        tell_leader(desk.tree, job_id, rev, run.id)
    return run, repeated


def _copy(connection: Connection, job: Job, node: str | None) -> int:
    """Which copy of the job is meant."""
    if (node is None) != (job.copies is Copies.ONE):
        only = "only for jobs with copies all, whose other ones are where the leader put them"
        why = only if node is not None else "required: the job is on every node, and each run on one of them"
        raise Invalid("not accepted as it is: node", {"node": [why]})
    if node is None:
        return ONLY
    there = copies.of_node(connection, job.id, node)
    if there is None:
        raise Conflict(
            f"node {node} has no copy of job {job.id}: GET /jobs/{job.id}/copies says which have one"
        )
    return there.copy


def get(desk: Desk, run_id: str) -> Run:
    """Raises: NotFound, Unavailable."""
    return desk.store.transaction(lambda connection: runs.get(connection, run_id))


def listing(
    desk: Desk,
    job_id: int,
    *,
    limit: int,
    state: RunState | None = None,
    node: str | None = None,
    before: tuple[datetime, str] | None = None,
) -> Sequence[Run]:
    """The newest runs of a job, newest first, in one state or in all, on one node or on all.

    `before` is `created_at` and `id` of the last one that was shown.

    Raises: NotFound, Unavailable.
    """

    def work(connection: Connection) -> Sequence[Run]:
        jobs.get(connection, job_id)
        return runs.listing(connection, job_id, limit=limit, state=state, node=node, before=before)

    return desk.store.transaction(work)


def newest(desk: Desk, job_ids: Sequence[int]) -> dict[int, Run]:
    """The newest run of each of the jobs that has one, by the job's id. Raises: Unavailable."""
    return desk.store.transaction(lambda connection: runs.newest(connection, job_ids))


def output(desk: Desk, run_id: str, stream: runs.Stream) -> Output:
    """What the run wrote; empty where it has not ended, or never began.

    Raises:
        NotFound: there is no such run, or its output is not kept any more.
        Unavailable
    """

    def work(connection: Connection) -> tuple[Run, Output | None]:
        return runs.get(connection, run_id), runs.output(connection, run_id, stream)

    run, found = desk.store.transaction(work)
    if found is None and run.exit_code is not None:  # a node tells of both at once
        raise _removed(run_id, stream)
    return found if found is not None else Output(size=0, data=b"")


def open_output(desk: Desk, run_id: str, stream: runs.Stream) -> StoredOutput:
    """What the run wrote, where that is `stored`; to be closed. Raises: NotFound, Unavailable."""
    try:
        return desk.artifacts.open_output(OutputName(run_id, stream))
    except NotFound as error:
        raise _removed(run_id, stream) from error


def _removed(run_id: str, stream: runs.Stream) -> NotFound:
    return NotFound(
        f"the {stream} of run {run_id} is not kept any more: output is removed after history.output_days, and "
        "beyond the newest history.output_per_job runs of a job; or its node was away from the end on, and has "
        "not sent it yet"
    )


def _queued(wish: Wish, copy: int, told_apart: str) -> Run:
    return Run(
        id=hand_run_id(wish.job_id, copy, told_apart),
        job_id=wish.job_id,
        copy=copy,
        tick=None,
        attempt=1,
        state=RunState.QUEUED,
        started_by=StartedBy.HAND,
        requested_by=wish.actor,
        created_at=wish.now,
    )
