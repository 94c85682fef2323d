"""What a run becomes by what is reported of it: pure."""

from datetime import datetime

from cronkeeper.common.model import TRANSITIONS, Report, Run, RunState, SkipReason, replace

from .schema import REASON_LENGTH


def advance(known: Run | None, report: Report, now: datetime) -> Run | None:
    """What a run becomes by a report; None where the report says nothing new."""
    if known is None:
        known = _unreported(report, now)
    elif not _is_vouched_for(known, report) and (
        not _is_news(known, report) or _of_anothers_run(known, report)
    ):
        return None
    # Only the ends carry these, and the truth of a run that was given up replaces what was assumed.
    end = {"ended_at": report.ended_at, "exit_code": report.exit_code, "reason": _cut(report.reason)}
    return replace(
        known,
        state=report.state,
        started_by=report.started_by,
        node=report.node,
        gen=report.gen,
        claimed_at=known.claimed_at if report.claimed_at is None else report.claimed_at,
        started_at=known.started_at
        if report.started_at is None and not report.unbegun
        else report.started_at,
        first_tick=report.first_tick,
        **end,
    )


def _is_news(known: Run, report: Report) -> bool:
    # It was given up as one that had begun, and its node knows better.
    corrected = report.unbegun and known.started_at is not None and report.state is known.state
    return corrected or report.state in TRANSITIONS[known.state]


def _unreported(report: Report, now: datetime) -> Run:
    """The run as it would be had it been known before its first report."""
    return Run(
        id=report.run_id,
        job_id=report.job_id,
        copy=report.copy,
        tick=report.tick,
        attempt=report.attempt,
        state=RunState.QUEUED,
        started_by=report.started_by,
        created_at=now,
    )


def _is_vouched_for(known: Run, report: Report) -> bool:
    """Whether the report tells what became of a tick of which nobody had known whether it ran.

    Not where that is the last one of a range: the others have no other row.
    """
    unvouched = known.state is RunState.SKIPPED and known.reason == SkipReason.UNVOUCHED
    return unvouched and known.first_tick is None and report.state is not RunState.SKIPPED


def _of_anothers_run(known: Run, report: Report) -> bool:
    """Whether it is no word of the node that has the run: each tick is claimed by one, and by no other after it.

    A node that had the job before does not know whether it had claimed the run, and says that it is lost: that
    does not count where another has it, and where it was said first, the other's word counts all the same.
    """
    lost = known.state is RunState.LOST and report.state is not RunState.LOST
    return known.node not in (None, report.node) and not lost


def _cut(reason: str | None) -> str | None:
    return None if reason is None else reason[:REASON_LENGTH]
