"""Whether another attempt follows a run that has ended, pure: the worker asks, and the leader for dead nodes."""

from dataclasses import replace
from datetime import datetime, timedelta
from zlib import crc32

from cronkeeper.common.model import (
    Claim,
    Definition,
    OnNodeLoss,
    Outcome,
    RunState,
    StartedBy,
    Unfinished,
    WhenIsolated,
    attempt_run_id,
)

MAX_RERUNS = 3
"""How often a tick may be lost with its node and run again: a job may be what its nodes die of."""
LONGEST_DELAY = 86_400.0
"""Seconds, however often the delay has grown."""
CLOCKS_APART = timedelta(minutes=1)
"""More than clocks differ by that are believed."""


def follows(job: Definition, attempt: int, state: RunState, reruns: int = 0) -> StartedBy | None:
    """What will start the attempt after this one, which has come to `state`; None where none follows.

    `reruns` says how many of the attempts up to this one were made since a node was lost.
    """
    retries = attempt - 1 - reruns
    if state in (RunState.FAILED, RunState.TIMED_OUT) and retries < job.retry.attempts:
        return StartedBy.RETRY
    if state is RunState.LOST and job.on_node_loss is OnNodeLoss.RERUN and reruns < MAX_RERUNS:
        return StartedBy.RERUN
    return None


def fenced(job: Definition) -> bool:
    """Whether the job's runs are to end on a node that is cut off."""
    return job.on_node_loss is OnNodeLoss.RERUN or job.when_isolated is WhenIsolated.STOP


def next_attempt(job: Definition, run: Unfinished, end: Outcome) -> Unfinished | None:
    """The attempt that follows a run that has ended so, as it waits in the claim; None where none follows."""
    started_by = follows(job, run.attempt, end.state, run.reruns)
    if started_by is None:
        return None
    run_id = attempt_run_id(run.run_id, run.attempt + 1)
    again = started_by is StartedBy.RETRY
    wait = _delay(job, run.attempt - run.reruns, run_id) if again else 0.0
    return replace(
        run,
        run_id=run_id,
        attempt=run.attempt + 1,
        started_by=started_by,
        reruns=run.reruns + (not again),
        outcome=None,
        not_before=end.ended_at + timedelta(seconds=wait),
    )


def is_due(job: Definition, run: Unfinished, now: datetime) -> bool:
    """Whether the time of an attempt that waits has come, which is by the clock of who noted the end before it.

    It has, too, where it is further off than the job's policy ever has it wait: that clock was wrong.
    """
    if run.not_before is None or run.started_by is StartedBy.RERUN or run.not_before <= now:
        return True
    wait = _delay(job, run.attempt - 1 - run.reruns, run.run_id)
    return run.not_before - now > timedelta(seconds=wait) + CLOCKS_APART


def call_off(claim: Claim, reason: str, now: datetime) -> Claim:
    """The claim in which no attempt waits any more: those that did are canceled."""
    if not any(run.waits for run in claim.unfinished):
        return claim
    end = Outcome(state=RunState.CANCELED, exit_code=None, reason=reason, started_at=None, ended_at=now)
    unfinished = tuple(replace(run, outcome=end) if run.waits else run for run in claim.unfinished)
    return replace(claim, unfinished=unfinished)


def _delay(job: Definition, attempt: int, run_id: str) -> float:
    """Seconds. What is left to chance is drawn from the id: whoever works it out comes to the same."""
    longer = min(job.retry.delay * job.retry.backoff ** (attempt - 1), LONGEST_DELAY)
    return longer + job.retry.jitter * crc32(run_id.encode()) / 2**32
