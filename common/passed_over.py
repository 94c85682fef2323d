"""The ticks of an edited schedule that nobody looked at, since the old one was still gone by: pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby

from cronkeeper.common.model import Skip, SkipReason
from cronkeeper.common.schedule import Timed, next_tick


def passed_over(job: Timed, old: Timed, after: datetime | None, through: datetime) -> list[Skip]:
    """The ticks of the job as it is now, later than `after` and up to `through`, that were none of the `old` one.

    By that all its ticks up to `through` were dealt with.
    """
    if timing(job) == timing(old):
        return []
    skips = []
    for known, group in groupby(_compared(job, old, after, through), key=lambda each: each[1]):
        if not known:
            ticks = [tick for tick, _ in group]
            skips.append(Skip(first=ticks[0], last=ticks[-1], reason=SkipReason.EDITED))
    return skips


def timing(job: Timed) -> tuple[object, ...]:
    """By what its ticks are worked out."""
    return job.schedule, job.timezone, job.at, job.effective_from


def _compared(
    job: Timed, old: Timed, after: datetime | None, through: datetime
) -> Iterator[tuple[datetime, bool]]:
    """The ticks in between, and whether each is one of the old ones too."""
    start = datetime.min.replace(tzinfo=UTC) if after is None else after
    tick, other = next_tick(job, start), next_tick(old, start)
    while tick is not None and tick <= through:
        while other is not None and other < tick:
            other = next_tick(old, other)
        yield tick, other == tick
        tick = next_tick(job, tick)
