"""The front desk for nodes' reports: late, repeated and in any order, they are taken in."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.attempts import follows
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.errors import NotFound, Unauthorized
from cronkeeper.common.model import (
    Claim,
    ClaimName,
    Job,
    JobStatus,
    Outcome,
    Report,
    Run,
    RunState,
    SkipReason,
    attempt_run_id,
    decode,
    replace,
)
from cronkeeper.common.schedule import ONCE, once
from cronkeeper.common.signing import verify
from cronkeeper.common.store import jobs, nodes, outputs, runs
from cronkeeper.manager.desk import Desk, tell_leader

log = logging.getLogger(__name__)

_RUN_ID = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})\.[0-9A-Za-z-]{1,40}\.[0-9]{1,9}")
_OF_ENDS = tuple(field.name for field in fields(Outcome))


def identify(desk: Desk, node: str, body: bytes, signature: str) -> None:
    """Raise `Unauthorized` unless a node of that name was added, and its key signed the body."""
    try:
        known = desk.store.transaction(lambda connection: nodes.get(connection, node))
    except NotFound as error:
        raise Unauthorized(
            f"node {node!r} was never added here, or was forgotten: add it with `cronkeeper node add`"
        ) from error
    if not verify(known.public_key, node, body, signature):
        raise Unauthorized(f"the report is not signed with the key that node {node!r} was added with")


def accept(desk: Desk, signer: str, reports: Sequence[Report], now: datetime) -> list[str]:
    """Record the reports and return the ids of the runs that the node need not report again.

    A report of a job that is not known is let go: nothing would ever become of it. So is what the signer says of
    another node's run (see `_own`; for runs that SQL knows, also `store.advance`), or under an id that no run of
    the job has: a refusal would hold up all else that it has to say, for ever.

    Raises:
        Unavailable: SQL does not answer; or the tree, where a report is of another node's run.
    """
    heard = _own(desk, signer, _named(signer, reports))

    def work(connection: Connection) -> list[tuple[RunState, Job | None]]:
        known = {job.id: job for job in jobs.by_ids(connection, {report.job_id for report in heard})}
        ours = [report for report in heard if report.job_id in known]
        if len(ours) < len(heard):
            log.warning("%d reports of unknown jobs are let go", len(heard) - len(ours))
        changed = runs.record_many(connection, _called_off(connection, ours, known), now)
        outputs.note_late(connection, ours, {run.id for run in changed})
        return [
            (run.state, note_end(connection, known[run.job_id], run, now))
            for run in changed
            if run.state.final
        ]

    for state, done in desk.store.transaction(work, writes=True):
        metrics.RUNS_ENDED.labels(state).inc()
        if done is not None:
            tell_leader(desk.tree, done.id, done.rev)
    return [report.run_id for report in reports]


def _called_off(connection: Connection, told: Sequence[Report], known: Mapping[int, Job]) -> Sequence[Report]:
    """The reports, where those of runs that had not begun when their job was over say so: their nodes can't know.

    One that is told as lost stays that: it was given up before, with its node, and may have been followed.
    """
    unbegun = (one for one in told if one.unbegun and one.state is RunState.LOST)
    ids = {one.run_id for one in unbegun if known[one.job_id].ended_at is not None}
    if not ids:
        return told
    settled = {run.id for run in runs.by_ids(connection, [*ids]).values() if run.state.final}
    over = {"state": RunState.CANCELED, "reason": "the job was over before the run began"}
    return [replace(one, **over) if one.run_id in ids - settled else one for one in told]


def _named(signer: str, reports: Sequence[Report]) -> Sequence[Report]:
    """Those under ids such as `tick_run_id` and `hand_run_id` make for their jobs: what is old is found by them."""
    named = [
        report
        for report in reports
        if (found := _RUN_ID.fullmatch(report.run_id)) is not None
        and found.groups() == (str(report.job_id), str(report.copy))
    ]
    if len(named) < len(reports):
        log.warning(
            "%d reports of node %s name no run of their job: let go", len(reports) - len(named), signer
        )
    return named


def _own(desk: Desk, signer: str, reports: Sequence[Report]) -> Sequence[Report]:
    """What the signer may say: all about its own runs, and the ends of others' that its own claims list.

    A claim moves with the ends that its former owner wrote into it, and it is the new owner who reports them.
    """
    others = [report for report in reports if report.node != signer]
    if not others:
        return reports
    listed = _listed(desk.tree, signer, {(report.job_id, report.copy) for report in others})
    strange = [report for report in others if not _tells(listed.get((report.run_id, report.node)), report)]
    for report in strange:
        log.warning(
            "node %s says that run %s of node %s is %s, and its claim does not: that is let go",
            *(signer, report.run_id, report.node, report.state),
            extra={"run": report.run_id},
        )
    return [report for report in reports if report not in strange]


def _listed(tree: Tree, node: str, wanted: Collection[tuple[int, int]]) -> dict[tuple[str, str], Outcome]:
    """The ends in a node's claims to these copies of jobs, by run and node. Raises: Unavailable."""
    tree.sync()  # else a claim that was moved just now might not be seen, and its ends be lost
    names = map(ClaimName.parse, tree.children_many([paths.claims(node)])[0] or ())
    held = [paths.claim(node, name) for name in names if (name.job_id, name.copy) in wanted]
    claims = [decode(found.data, Claim) for found in tree.get_many(held) if found is not None]
    runs_of_all = [run for claim in claims for run in claim.unfinished]
    return {(run.run_id, run.node): run.outcome for run in runs_of_all if run.outcome is not None}


def _tells(end: Outcome | None, report: Report) -> bool:
    """Whether the report says this end, and nothing more: what the run wrote only its own node knows."""
    same = end is not None and all(getattr(end, one) == getattr(report, one) for one in _OF_ENDS)
    return same and report.stdout is None and report.stderr is None


def note_end(connection: Connection, job: Job, run: Run, now: datetime) -> Job | None:
    """Returns the job where it has ended with this run, which is news to the leader."""
    jobs.note_outcome(connection, job.id, run.state, moment_of(run), run.copy)
    # A run of an earlier `at` may still go on when that is changed.
    if (
        job.schedule != ONCE
        or run.tick != once(job)
        or (run.state is RunState.SKIPPED and not passed_over(run))
    ):
        return None
    if job.enabled and follows(job, run.attempt, run.state, _reruns(connection, run)) is not None:
        return None
    return jobs.get(connection, job.id) if jobs.finish(connection, job.id, now, status_after(run)) else None


def passed_over(skipped: Run) -> bool:
    """Whether the tick is dealt with for good, and not since its job is due at another time, or was paused."""
    reason = "" if skipped.reason is None else skipped.reason.partition(":")[0]
    return reason in (SkipReason.STILL_RUNNING, SkipReason.UNVOUCHED)


def status_after(run: Run) -> JobStatus:
    """What becomes of a one-shot with the last run of its tick."""
    # An attempt that was called off followed one that ended badly.
    bad = run.state.bad or (run.state is RunState.CANCELED and run.attempt > 1)
    return JobStatus.ERROR if bad else JobStatus.FINISHED


def _reruns(connection: Connection, run: Run) -> int:
    """How many of the attempts up to this one were made since a node was lost."""
    earlier = runs.by_ids(connection, [attempt_run_id(run.id, number) for number in range(1, run.attempt)])
    return sum(each.state is RunState.LOST for each in earlier.values())


def moment_of(run: Run) -> datetime:
    """What orders the runs of a job: a late report of an old tick, or attempt, does not hide a newer end."""
    moment = run.tick if run.tick is not None else run.created_at
    return moment + timedelta(microseconds=run.attempt - 1)
