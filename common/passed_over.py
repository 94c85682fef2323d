"""Ticks that nobody will look at any more, as skips: pure."""

from datetime import UTC, datetime, timedelta

from cronkeeper.common.model import Claim, Skip, SkipReason, replace
from cronkeeper.common.schedule import Timed, next_tick, tick_before, undone

MOST = 500
"""Steps back at most, each over one tick of both schedules, or over all those of the new one between two of the
old one: less than 0.1 s. Who takes them has a lease to keep, and a claim has no room for many more."""
INSTANT = timedelta(microseconds=1)
BEGINNING = datetime.min.replace(tzinfo=UTC)


def with_skip(claim: Claim, job: Timed, until: datetime, reason: SkipReason) -> Claim:
    """The claim with what fell due before `until`, and is not dealt with, as skipped; the same where none did."""
    span = undone(job, claim.watermark, until)
    if span is None:
        return claim
    first, last = span
    return replace(claim, watermark=last, skips=(*claim.skips, Skip(first=first, last=last, reason=reason)))


def passed_over(job: Timed, old: Timed, after: datetime | None, through: datetime) -> list[Skip]:
    """The ticks of an edited schedule that nobody looked at, since the old one was still gone by.

    They are those of the job as it is now, later than `after` and up to `through`, that were none of the `old` one.

    By that all its ticks up to `through` were dealt with. They are looked for from there back, and where that takes
    more than `MOST` steps, the oldest are left out.
    """
    if timing(job) == timing(old):
        return []
    skips: list[Skip] = []
    end, parted = through + INSTANT, True
    for _ in range(MOST):
        last = tick_before(job, end)
        if last is None or (after is not None and last <= after):
            break
        known = tick_before(old, last + INSTANT)
        if known == last:
            end, parted = last, True
            continue
        since = max((each for each in (known, after) if each is not None), default=BEGINNING)
        first = next_tick(job, since)
        assert first is not None
        if parted:
            skips.append(Skip(first=first, last=last, reason=SkipReason.EDITED))
        else:
            skips[-1] = replace(skips[-1], first=first)
        end, parted = first, False
    return skips[::-1]


def timing(job: Timed) -> tuple[object, ...]:
    """By what its ticks are worked out."""
    return job.schedule, job.timezone, job.at, job.effective_from
