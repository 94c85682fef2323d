"""When ticks of a job were expected: by every schedule that it has had, in the time in which that was in force."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronkeeper.common.model import Copies, SkipReason, replace
from cronkeeper.common.schedule import ONCE, ticks_between

_INSTANT = timedelta(microseconds=1)
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """Of a job, what says when it is due, and since when it is known what became of that."""

    job_id: int
    schedule: str | None
    at: datetime | None
    timezone: str
    enabled: bool
    effective_from: datetime
    ended_at: datetime | None
    max_lateness: float
    forgotten_tick: datetime | None
    """The newest tick of which the run was removed as old."""
    copies: Copies = Copies.ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time in which one schedule was in force: from `effective_from` to before `until` (None: it still is)."""

    schedule: str
    at: datetime | None
    timezone: str
    effective_from: datetime
    until: datetime | None = None
    reason: SkipReason | None = None
    """Why it is over, and so why its last ticks may have been skipped; None also where its one tick is done."""
    begin: datetime = _BEGINNING
    """The end of the period before it: no tick is in two of them."""


def periods(job: Dated, past: Iterable[Period]) -> list[Period]:
    """All times in which the job was due, oldest first: those that are over, and the present one."""
    found: list[Period] = []
    end = _BEGINNING
    for period in [*past, *_present(job)]:
        found.append(replace(period, begin=max(end, period.effective_from)))
        end = max(end, period.until) if period.until is not None else end
    return found


def clipped(of: Sequence[Period], since: datetime, until: datetime | None) -> list[Period]:
    """When a copy of the job was due, that counted for ticks later than `since` and before `until`."""
    begin = since + timedelta(microseconds=1)
    found = []
    for period in of:
        cut = period if until is None else _ended(period, until)
        if cut.until is None or cut.until > begin:
            found.append(replace(cut, begin=max(cut.begin, begin)))
    return found


def _ended(period: Period, until: datetime) -> Period:
    if period.until is not None and period.until <= until:
        return period
    return replace(period, until=until, reason=SkipReason.REMOVED)


def _present(job: Dated) -> list[Period]:
    if not job.enabled or job.schedule is None:
        return []
    until, removed = job.ended_at, job.ended_at is not None and job.schedule != ONCE
    if until is not None and not removed:
        until += _INSTANT  # it may be done in the instant in which it is due
    return [
        Period(
            schedule=job.schedule,
            at=job.at,
            timezone=job.timezone,
            effective_from=job.effective_from,
            until=until,
            reason=SkipReason.REMOVED if removed else None,
        )
    ]


def expected(of: Sequence[Period], begin: datetime, end: datetime) -> Iterator[tuple[datetime, Period]]:
    """Every tick from `begin` to before `end` that was expected, oldest first, with its period."""
    for period in of:
        last = end if period.until is None else min(end, period.until)
        for tick in _ticks(period, max(begin, period.begin), last):
            yield tick, period


def _ticks(period: Period, begin: datetime, end: datetime) -> Iterator[datetime]:
    if period.schedule != ONCE:
        return ticks_between(period, begin, end)
    tick = period.at if period.at is not None else period.effective_from
    return iter([tick] if begin <= tick < end else [])
