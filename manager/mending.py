"""What becomes of jobs, runs and nodes in SQL that was put back, by what the tree still has of them.

SQL is the truth: what it says of a job counts again, and is published over what the nodes know. What it has
forgotten altogether, and the tree has, it is told; of all else nobody knows anything, and nothing begins a second
time for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection

from cronkeeper.common import isolation
from cronkeeper.common.ledger import Span
from cronkeeper.common.model import (
    Definition,
    Job,
    JobStatus,
    Report,
    RunState,
    SkipReason,
    Spec,
    Unfinished,
    replace,
)
from cronkeeper.common.schedule import ONCE, once
from cronkeeper.common.store import audit, jobs, restored, runs, schedules
from cronkeeper.common.store.restored import ACTOR, Again
from cronkeeper.manager.sighting import Sighting

DONE = "may have had its one tick, and has ended: run it again if it has not"
REMOVED = "was removed since, and stays so: its node may have gone on with it by itself"
LOST = "SQL was put back to a backup: how the run ended is not known"
CLOCKS = timedelta(seconds=10)
"""By how much the clocks of two API servers may be apart."""
Past = tuple[Job, datetime, SkipReason]


@dataclass(slots=True)
class Mended:
    """What was done, for the log."""

    span: Span
    again: int = 0
    runs: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """In short."""
        return f"{self.again} jobs are published again, {self.runs} runs are given up"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be said of a job now, and the times in which it was due otherwise."""

    again: Again
    past: Sequence[Past] = ()
    ends: str | None = None
    """Why the job has ended by that; None: it has not."""


def mend(connection: Connection, there: Sighting, span: Span) -> Mended:
    """Write it all. The caller has made sure that nobody else does. Raises: Conflict, where people did."""
    done = Mended(span)
    restored.number_above(
        connection, there.highest, span.until
    )  # first: what is numbered anew must not meet another
    known = _mend_jobs(connection, there, done)
    done.runs = restored.lose_runs(connection, there.runs, LOST, span.until)
    # SQL may have forgotten that these have ended: what it calls unfinished, and nobody has, the auditor finds.
    abroad = [report for run in there.abroad if (report := _unfinished(run)).job_id in known]
    runs.record_many(connection, abroad, span.until)
    for name in restored.let_in(connection, there.nodes, span.until):
        text = (
            f"node {name} is in the fleet again, without its key: add it again, until then its reports wait"
        )
        _say(connection, done, None, text, span.until)
    restored.know_copies(connection, there.copies, span)
    return done


def _mend_jobs(connection: Connection, there: Sighting, done: Mended) -> set[int]:
    """Returns the numbers of all that SQL knows then."""
    span = done.span
    known, ended = restored.open_and_ended(connection, there.specs)
    for job in known:
        specs = there.specs.get(job.id, [])
        if _is_another(job, specs, span):
            _renumber(connection, specs[0], span.until, done)
        change = compare(job, specs, span.until) if job.id in there.claimed else absent(job, span.until)
        if change is not None:
            _apply(connection, job, change, span.until, done)
    for job in ended:
        revs = [spec.rev for spec in there.specs[job.id]]
        again = Again(job, max(job.rev, *revs) + 1, job.effective_from, nowhere=False)
        restored.publish_again(connection, again, span.until)
    forgotten = there.specs.keys() - {job.id for job in (*known, *ended)}
    for job_id in sorted(forgotten):
        newest = max(there.specs[job_id], key=lambda spec: spec.rev)
        restored.put_back(connection, newest, span.until)
        _say(connection, done, job_id, f"job {job_id} ({newest.name}) is known again by its spec", span.until)
    return forgotten | {job.id for job in (*known, *ended)}


def compare(job: Job, specs: Sequence[Spec], now: datetime) -> Change | None:
    """Of a job that has a claim: None where the nodes know it as it is."""
    if all(not spec.resting and _said(spec) == _said(job) for spec in specs):
        return None
    newest = max(specs, key=lambda spec: spec.rev)
    if newest.resting:  # what it was published as says nothing of whether it is enabled
        newest = replace(newest, enabled=job.enabled)
    rev = max(job.rev, newest.rev) + 1
    same = _when(job) == _when(newest)
    if job.schedule == ONCE and not same and job.enabled and once(job) <= now:
        return Change(Again(job, rev, job.effective_from, nowhere=False), ends=DONE)
    effective_from = max(job.effective_from, newest.effective_from) if same else now
    if job.schedule == ONCE and job.at is None:  # its tick must not get another name
        effective_from = job.effective_from
    return Change(Again(job, rev, effective_from, nowhere=False), _past(job, newest, effective_from))


def absent(job: Job, now: datetime) -> Change:
    """Of a job that has none: it was removed, or is done, or never was on a node. None of its past is replayed."""
    if job.schedule == ONCE and job.enabled and once(job) <= now:
        return Change(Again(job, job.rev + 1, job.effective_from, nowhere=True), ends=DONE)
    if isolation.goes_on(job) and job.assigned_node is not None:
        return Change(Again(job, job.rev + 1, job.effective_from, nowhere=True), ends=REMOVED)
    keeps = job.schedule == ONCE and job.at is None
    effective_from = job.effective_from if keeps else now
    past = [] if keeps else [(job, now, SkipReason.UNVOUCHED)]
    return Change(Again(job, job.rev + 1, effective_from, nowhere=True), past)


def _past(job: Job, newest: Spec, effective_from: datetime) -> list[Past]:
    """When the job was due by SQL, and then by the spec, until it is due by SQL again."""
    if effective_from == job.effective_from:
        return []
    if not job.effective_from < newest.effective_from < effective_from or newest.rev <= job.rev:
        return [(job, effective_from, SkipReason.EDITED)]
    names = ("schedule", "at", "timezone", "enabled", "effective_from", "rev")
    between = replace(job, **{name: getattr(newest, name) for name in names})
    return [
        (job, newest.effective_from, SkipReason.EDITED),
        (between, effective_from, SkipReason.EDITED),
    ]


def _said(of: Job | Spec) -> list[object]:
    """What nodes know of a job."""
    return [of.rev, of.effective_from, *(getattr(of, field.name) for field in fields(Definition))]


def _when(of: Job | Spec) -> tuple[object, ...]:
    return of.schedule, of.at, of.timezone, of.enabled


def _is_another(job: Job, specs: Sequence[Spec], span: Span) -> bool:
    """Whether the job got a number that the published one had: it was made after SQL was put back."""
    return bool(specs) and job.created_at > max(span.since, *(spec.effective_from + CLOCKS for spec in specs))


def _unfinished(run: Unfinished) -> Report:
    job_id, copy, _ = run.run_id.split(".", 2)
    return Report(
        run_id=run.run_id,
        job_id=int(job_id),
        copy=int(copy),
        tick=run.tick,
        attempt=run.attempt,
        gen="",
        node=run.node,
        started_by=run.started_by,
        state=RunState.CLAIMED,
    )


def _renumber(connection: Connection, spec: Spec, now: datetime, done: Mended) -> None:
    new = jobs.insert(connection, restored.defined(spec), ACTOR, now)
    text = f"job {spec.job_id} ({spec.name}) is job {new.id} now: its number was given to another one"
    _say(connection, done, new.id, text, now)


def _apply(connection: Connection, job: Job, change: Change, now: datetime, done: Mended) -> None:
    restored.publish_again(connection, change.again, now)
    for period, until, reason in change.past:
        schedules.note(connection, period, until, reason)
    done.again += 1
    if change.ends is not None:
        jobs.finish(connection, job.id, now, JobStatus.ERROR)
        _say(connection, done, job.id, f"job {job.id} ({job.name}) {change.ends}", now)
        return
    detail = f"{job.name}: published again, as rev {change.again.rev}"
    audit.add(connection, actor=ACTOR, action="restored", job_id=job.id, detail=detail, now=now)


def _say(connection: Connection, done: Mended, job_id: int | None, text: str, now: datetime) -> None:
    """Into the audit, and into the log once it is done."""
    audit.add(connection, actor=ACTOR, action="restored", job_id=job_id, detail=text, now=now)
    done.lines.append(text)
