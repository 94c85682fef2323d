"""What cron(8) and crontab(5) say, minute by minute: an oracle that shares nothing with what it judges.

It goes along the minutes of UTC as a daemon does which wakes up in each, and looks at the clock on the wall. What
has been done is known by a clock of its own, which stands still while the wall's is behind it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
THREE_HOURS = 180
NAMES = {
    name: str(number)
    for first, names in (
        (0, "SUN MON TUE WED THU FRI SAT"),
        (1, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    )
    for number, name in enumerate(names.split(), first)
}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def due(fields: str, zone: str, begin: datetime, minutes: int) -> list[datetime]:
    """The minutes, of so many from `begin` (UTC, whole) on, in which the daemon starts the job, once or more."""
    return [when for when, starts in _starts(fields, ZoneInfo(zone), begin, minutes) if starts]


def matches(fields: str, wall: datetime) -> bool:
    """Whether the fields name this minute of a clock on the wall."""
    minute, hour, day, month, weekday = fields.split()
    of_day = wall.day in _values(day, 2)
    of_week = wall.isoweekday() % 7 in {value % 7 for value in _values(weekday, 4)}
    either = not day.startswith("*") and not weekday.startswith("*")
    return (
        wall.minute in _values(minute, 0)
        and wall.hour in _values(hour, 1)
        and wall.month in _values(month, 3)
        and ((of_day or of_week) if either else (of_day and of_week))
    )


def _starts(fields: str, zone: ZoneInfo, begin: datetime, minutes: int) -> Iterator[tuple[datetime, bool]]:
    minute, hour, *_ = fields.split()
    wildcard = minute.startswith("*") or hour.startswith("*")
    done = _wall(begin - MINUTE, zone)
    for number in range(minutes):
        now = begin + number * MINUTE
        wall = _wall(now, zone)
        ahead = int((wall - done) / MINUTE)
        if ahead == 1 or wildcard or not 1 - THREE_HOURS < ahead <= THREE_HOURS:
            starts = matches(fields, wall)
        else:
            starts = any(matches(fields, done + skipped * MINUTE) for skipped in range(1, ahead + 1))
        yield now, starts
        if ahead > 0 or ahead <= 1 - THREE_HOURS:
            done = wall


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


@cache
def _values(field: str, number: int) -> set[int]:
    values: set[int] = set()
    for part in field.upper().split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first, last = RANGES[number] if low == "*" else (_number(low), _number(high if high else low))
        values |= set(range(first, last + 1, int(step) if step else 1))
    return values


def _number(text: str) -> int:
    return int(NAMES.get(text, text))
