"""The claim in the tree and what the node wrote down while it was cut off, brought together: pure."""

from datetime import datetime, timedelta

from cronkeeper.common.model import Claim, RunState, Skip, Spec, Unfinished, replace
from cronkeeper.common.passed_over import passed_over
from cronkeeper.common.schedule import next_tick
from cronkeeper.worker.alone import Local


def merged(told: Claim, spec: Spec, local: Local) -> Claim:
    """The claim as the tree has it, published as `spec`, with all that was claimed here since."""
    if local.count == 0:
        return told
    mine = local.claim.watermark
    watermark = max((each for each in (told.watermark, mine) if each is not None), default=None)
    skips = [left for skip in told.skips if (left := _left(skip, local)) is not None]
    skips += [skip for skip in local.claim.skips if skip not in skips]
    if mine is not None:
        skips += passed_over(spec, local.spec, told.watermark, mine)
    return replace(told, watermark=watermark, unfinished=_unfinished(told, local), skips=tuple(skips))


def _unfinished(told: Claim, local: Local) -> tuple[Unfinished, ...]:
    """Of its own runs the node knows best; those that it knows and lists no more are dealt with."""
    mine = {run.run_id: run for run in local.claim.unfinished}
    kept = [
        _newer(run, mine.pop(run.run_id, None))
        for run in told.unfinished
        if run.run_id in mine or run.run_id not in local.known
    ]
    return (*kept, *mine.values())


def _newer(told: Unfinished, mine: Unfinished | None) -> Unfinished:
    """A run that the tree says is over is, unless it was only given up."""
    if mine is None:
        return told
    over = told.outcome is not None and told.outcome.state is not RunState.LOST
    return told if over and mine.outcome is None else mine


def _left(skip: Skip, local: Local) -> Skip | None:
    """What was skipped elsewhere, less the ticks that were dealt with here: some of those began."""
    mine, before = local.claim.watermark, local.watermark
    if mine is None or skip in local.claim.skips or (before is not None and skip.last <= before):
        return skip
    if not _is_tick(local.spec, skip.first) and not _is_tick(local.spec, skip.last):
        return skip  # passed over: the tree has been told already
    if skip.last <= mine:
        return None
    first = next_tick(local.spec, mine) if skip.first <= mine else skip.first
    return None if first is None or first > skip.last else replace(skip, first=first)


def _is_tick(spec: Spec, instant: datetime) -> bool:
    return next_tick(spec, instant - timedelta(microseconds=1)) == instant
