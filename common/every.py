"""Schedules such as `@every 1h30m`, pure: ticks that lie the same time apart, in whatever zone."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

from .errors import Invalid

EVERY = "@every"
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=366)
_TIMES = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
_INSTANT = timedelta(microseconds=1)


def period(schedule: str) -> timedelta | None:
    """The time between two ticks; None for a schedule of another kind.

    Raises:
        Invalid: no time is meant by it, or one that is too short or too long.
    """
    word, _, text = schedule.partition(" ")
    if word != EVERY:
        return None
    found = _TIMES.fullmatch(text)
    if found is None or not text:
        raise Invalid(f"{EVERY} takes whole days, hours, minutes and seconds, such as 10s, 5m or 1h30m")
    days, hours, minutes, seconds = (int(number) if number else 0 for number in found.groups())
    each = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not SHORTEST <= each <= LONGEST:
        raise Invalid(f"{EVERY} takes a time from 1s to {LONGEST.days}d")
    return each


def ticks(each: timedelta, effective_from: datetime, after: datetime) -> Iterator[datetime]:
    """The instants later than `after`: the first is `each` after the whole second of `effective_from`."""
    begin = effective_from.replace(microsecond=0)
    return (begin + number * each for number in count(max(1, (after - begin) // each + 1)))


def last_tick(each: timedelta, effective_from: datetime, before: datetime) -> datetime:
    """The last instant earlier than `before`; there must be one."""
    begin = effective_from.replace(microsecond=0)
    return begin + (before - _INSTANT - begin) // each * each
