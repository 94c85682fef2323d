"""The front desk for nodes' reports: late, repeated and in any order, they are taken in."""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.errors import NotFound, Unauthorized
from cronkeeper.common.model import Job, JobStatus, Report, Run, RunState
from cronkeeper.common.schedule import ONCE, once
from cronkeeper.common.signing import verify
from cronkeeper.common.store import jobs, nodes, runs
from cronkeeper.manager.desk import Desk, tell_leader

log = logging.getLogger(__name__)


def identify(desk: Desk, node: str, body: bytes, signature: str) -> None:
    """Raise `Unauthorized` unless a node of that name was added, and its key signed the body."""
    try:
        known = desk.store.transaction(lambda connection: nodes.get(connection, node))
    except NotFound as error:
        raise Unauthorized(f"node {node!r} is not known here: add it with `cronkeeper node add`") from error
    if not verify(known.public_key, node, body, signature):
        raise Unauthorized(f"the report is not signed with the key that node {node!r} was added with")


def accept(desk: Desk, reports: Sequence[Report], now: datetime) -> list[str]:
    """Record the reports and return the ids of the runs that the node need not report again.

    A report of a job that is not known is let go: nothing would ever become of it. So is the word of a node that
    a run is lost which another node has: it had the job before, and does not know whether it had claimed the run.
    """

    def work(connection: Connection) -> list[Job]:
        known = {job.id: job for job in jobs.by_ids(connection, {report.job_id for report in reports})}
        ours = [report for report in reports if report.job_id in known]
        if len(ours) < len(reports):
            log.warning("%d reports of unknown jobs are let go", len(reports) - len(ours))
        elsewhere = _elsewhere(connection, ours)
        ours = [report for report in ours if report.run_id not in elsewhere]
        return [
            done
            for run in runs.record_many(connection, ours, now)
            if run.state.final and (done := note_end(connection, known[run.job_id], run, now)) is not None
        ]

    for job in desk.store.transaction(work, writes=True):
        tell_leader(desk.tree, job.id, job.rev)
    return [report.run_id for report in reports]


def _elsewhere(connection: Connection, reports: Sequence[Report]) -> set[str]:
    """The runs that are reported lost by another node than the one that has them."""
    lost = {report.run_id: report.node for report in reports if report.state is RunState.LOST}
    known = runs.by_ids(connection, lost) if lost else {}
    return {run.id for run in known.values() if run.node not in (None, lost[run.id])}


def note_end(connection: Connection, job: Job, run: Run, now: datetime) -> Job | None:
    """Returns the job where it has ended with this run, which is news to the leader."""
    jobs.note_outcome(connection, job.id, run.state, _moment(run))
    # A run of an earlier `at` may still go on when that is changed.
    if job.schedule != ONCE or run.tick != once(job) or run.state is RunState.SKIPPED:
        return None
    status = JobStatus.ERROR if run.state.bad else JobStatus.FINISHED
    return jobs.get(connection, job.id) if jobs.finish(connection, job.id, now, status) else None


def _moment(run: Run) -> datetime:
    """What orders the runs of a job: a late report of an old tick does not hide a newer end."""
    return run.tick if run.tick is not None else run.created_at
