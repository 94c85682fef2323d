"""When the clocks of time zones change, pure: the spans of a zone through which its offset from UTC stays."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise

AHEAD = timedelta(days=425)
"""How far `differences` looks: some 14 months, so each change of a year is seen long before it comes."""
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LARGE = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Span:
    """A time through which a zone is `offset` ahead of UTC: from `begin` to before `end`, in UTC, both naive.

    `before` is the offset until then: the same one where a year begins and no clock is changed.
    """

    begin: datetime
    end: datetime
    before: timedelta
    offset: timedelta

    def opens(self, *, at_times: bool) -> datetime:
        """The local time from which on a job counts what its fields say, naive; what was is done.

        That is cron(8)'s rule: a change of less than three hours neither takes a tick away from a job `at_times`
        of its own nor gives it one twice. Others, and all after a larger change, go by the new time at once. Where
        the page says nothing, of just three hours, it is what cron 3.0pl1 does.
        """
        small = -_LARGE <= self.offset - self.before < _LARGE
        return self.begin + (self.before if at_times and small else self.offset)

    @property
    def closes(self) -> datetime:
        """The local time at which it is over, naive."""
        return self.end + self.offset


def spans(zone: tzinfo, after: datetime) -> Iterator[Span]:
    """The spans that end later than `after` (naive, UTC), in order."""
    for year in range(after.year, MAXYEAR):
        yield from (span for span in _of_year(zone, year) if span.end > after)


def spans_back(zone: tzinfo, before: datetime) -> Iterator[Span]:
    """The spans that begin earlier than `before` (naive, UTC), the last one first."""
    for year in range(before.year, MINYEAR, -1):
        yield from (span for span in reversed(_of_year(zone, year)) if span.begin < before)


@lru_cache(maxsize=4_000)
def differences(one: tzinfo, other: tzinfo, day: date) -> frozenset[timedelta]:
    """By how much the local time of `other` is ahead of that of `one`, at whatever moment of the next 14 months."""
    first = datetime.combine(day, time())
    moments = {first, *changes(one, first), *changes(other, first)}
    return frozenset(offset_at(other, moment) - offset_at(one, moment) for moment in moments)


def changes(zone: tzinfo, first: datetime) -> tuple[datetime, ...]:
    """When the zone's offset changes in the 14 months after `first`, naive and in UTC."""
    found = []
    for span in spans(zone, first):
        if span.begin > first + AHEAD:
            break
        if span.begin > first and span.offset != span.before:
            found.append(span.begin)
    return tuple(found)


def offset_at(zone: tzinfo, moment: datetime) -> timedelta:
    """How far the zone is ahead of UTC at a moment of UTC, naive."""
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) - moment


@lru_cache(maxsize=4_000)
def _of_year(zone: tzinfo, year: int) -> tuple[Span, ...]:
    first, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001
    days = [first - _SECOND, *(first + _DAY * number for number in range((end - first).days)), end - _SECOND]
    changed = [_change(zone, one, two) for one, two in pairwise(days) if _differ(zone, one, two)]
    begins = [first, *(change for change in changed if change > first)]
    return tuple(
        Span(begin, over, offset_at(zone, begin - _SECOND), offset_at(zone, begin))
        for begin, over in pairwise([*begins, end])
    )


def _differ(zone: tzinfo, one: datetime, two: datetime) -> bool:
    return offset_at(zone, one) != offset_at(zone, two)


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """The first second of the offset that holds at `high`, where it is another than at `low`, a day earlier."""
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (low, middle) if _differ(zone, low, middle) else (middle, high)
    return high
