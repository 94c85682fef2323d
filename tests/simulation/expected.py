"""Which ticks a schedule names, worked out the plain and slow way from crontab(5), cron(8) and docs/guarantees.md.

Nothing of the product, nor what the product reads schedules with, has a part in this.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from zoneinfo import ZoneInfo

ONCE = "@once"
NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LARGE = timedelta(hours=3)
"""A change of the clocks of so much is none that cron makes up for."""
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fields:
    """The values that each field of an expression names."""

    seconds: tuple[int, ...]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both fields of days are restricted: one of them is enough."""
    at_fixed_times: bool
    """Neither minute nor hour begins with a star: cron makes up for the hour that a change of time leaves out."""

    def on(self, day: date) -> bool:
        """Whether a day is named."""
        by_month = day.day in self.days
        by_week = day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_month or by_week if self.either_day else by_month and by_week)


@lru_cache(maxsize=1000)
def fields(expression: str) -> Fields:
    """Five fields, or six with the seconds first. Raises: ValueError."""
    parts = NAMES.get(expression, expression).lower().split()
    second = parts.pop(0) if len(parts) == 6 else None
    minute, hour, day, month, weekday = parts
    return Fields(
        seconds=tuple(sorted(_values(second, 0, 59))) if second is not None else (0,),
        minutes=_values(minute, 0, 59),
        hours=_values(hour, 0, 23),
        days=_values(day, 1, 31),
        months=_values(month, 1, 12, MONTHS),
        weekdays=frozenset(value % 7 for value in _values(weekday, 0, 7, DAYS)),
        either_day=not day.startswith("*") and not weekday.startswith("*"),
        at_fixed_times=not minute.startswith("*") and not hour.startswith("*"),
    )


def _values(text: str, low: int, high: int, names: list[str] | None = None) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            begin, end = low, high
        else:
            first, _, last = span.partition("-")
            begin = _number(first, low, names)
            end = _number(last, low, names) if last else begin
        found.update(range(begin, end + 1, int(step) if step else 1))
    if not found or min(found) < low or max(found) > high:
        raise ValueError(f"{text!r} is not within {low}-{high}")
    return frozenset(found)


def _number(text: str, low: int, names: list[str] | None) -> int:
    return names.index(text) + low if names is not None and text in names else int(text)


def every(text: str) -> int:
    """The seconds of `@every 1h30m`. Raises: ValueError."""
    found = re.fullmatch(r"@every\s+((?:\d+[dhms])+)", text)
    if found is None:
        raise ValueError(f"{text!r} is no @every")
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", found[1]))


@lru_cache(maxsize=10_000)
def named(schedule: str, timezone: str, begin: datetime, end: datetime) -> tuple[datetime, ...]:
    """The ticks of a schedule that comes again and again, from `begin` to before `end`, in UTC, in order.

    `begin` is the job's `effective_from`: from its whole second on `@every` counts.
    """
    if schedule.startswith("@every"):
        first, step = begin.replace(microsecond=0), timedelta(seconds=every(schedule))
        return tuple(first + step * number for number in range(1, -((first - end) // step)))
    zone, meant = ZoneInfo(timezone), fields(schedule)
    ticks = (_at_times if meant.at_fixed_times else _as_it_passes)(meant, zone, begin, end)
    return tuple(sorted({tick for tick in ticks if begin <= tick < end}))


def _as_it_passes(meant: Fields, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    minute = begin.astimezone(UTC).replace(second=0, microsecond=0)
    while minute < end:
        local = minute.astimezone(zone)
        if local.minute in meant.minutes and local.hour in meant.hours and meant.on(local.date()):
            yield from (minute + timedelta(seconds=second) for second in meant.seconds)
        minute += MINUTE


def _at_times(meant: Fields, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    day, last = begin.astimezone(zone).date() - DAY, end.astimezone(zone).date() + DAY
    while day <= last:
        if meant.on(day):
            for hour, minute, second in product(meant.hours, meant.minutes, meant.seconds):
                yield from _instants(datetime.combine(day, time(hour, minute, second)), zone)
        day += DAY


def _instants(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """When clocks show this; where they pass over it, the first instant after that.

    Of two times the first counts, unless the clocks were changed by three hours or more.
    """
    both = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    change = both[1].utcoffset() - both[0].utcoffset()  # type: ignore[operator]
    shown = [each.astimezone(UTC) for each in both if _shows(each.astimezone(UTC), zone) == local]
    if shown:
        return shown[:1] if change > -LARGE else shown
    if change >= LARGE:
        return []
    # Read by the time before the change it lies after the gap, and read by the time after it before.
    instant = both[1].astimezone(UTC).replace(second=0)
    while _shows(instant, zone) < local:
        instant += MINUTE
    return [instant]


def _shows(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
