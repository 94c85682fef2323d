"""Schedule arithmetic, pure: what an expression means, and which ticks are due.

The instants of cron's fields are those of Debian's cron, where clocks are changed too (`instants`). `@every` counts
from when the schedule took effect, and knows no zone.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, takewhile
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from cronkeeper.common import every, instants
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import CatchUp, Skip, SkipReason

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
ACCEPTED = (
    f"five cron fields (minute hour day-of-month month day-of-week), six with seconds before them, one of "
    f"{', '.join(NAMES)}, {every.EVERY} with a time such as 10s, 5m or 1h30m, or {ONCE}"
)
_FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31",
    "month": "1-12 or jan-dec",
    "day-of-week": "0-7 or sun-sat",
}
_PLAIN_FIELDS = re.compile(r"[0-9A-Za-z*,/ -]+")
_STEP_OF_ONE_VALUE = re.compile(r"(^|[ ,])\w+/")
_STEP_OF_A_RANGE = re.compile(r"(\w+)-(\w+)/")
_NUMBERS = {
    name: number
    for first, names in (
        (0, "sun mon tue wed thu fri sat"),
        (1, "jan feb mar apr may jun jul aug sep oct nov dec"),
    )
    for number, name in enumerate(names.split(), first)
}
_LARGE = re.compile(r"\d{3}")
_INSTANT = timedelta(microseconds=1)
_LAST_OR_NTH = re.compile(r"[LW#]")


class Recurring(Protocol):
    """What says when instants come again and again."""

    @property
    def schedule(self) -> str | None: ...
    @property
    def timezone(self) -> str: ...
    @property
    def effective_from(self) -> datetime: ...


class Timed(Recurring, Protocol):
    """Anything with a schedule: a job, or its published spec."""

    @property
    def at(self) -> datetime | None: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def catch_up(self) -> CatchUp: ...
    @property
    def max_lateness(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Due:
    """The ticks that are to run now, oldest first, and those that are due and will not run."""

    ticks: tuple[datetime, ...] = ()
    skips: tuple[Skip, ...] = ()


def parse(text: str, zone: tzinfo, now: datetime) -> str:
    """The expression with single spaces, once it is known to be one that cron and we read alike.

    Raises:
        Invalid: the reason, and what is accepted.
    """
    expression = " ".join(text.split())
    if expression == ONCE:
        return expression
    fields = _fields(expression)
    try:
        if every.period(expression) is None:
            _refuse_what_cron_reads_otherwise(fields)
            next(CronSim(fields, now.astimezone(zone).replace(tzinfo=None)))
    except (CronSimError, Invalid) as error:
        raise Invalid(
            f"{text!r} is no schedule: {_reason(str(error), fields)}; accepted: {ACCEPTED}"
        ) from error
    except StopIteration as error:
        raise Invalid(f"{text!r} is never due") from error
    return expression


def of_cron(schedule: str) -> bool:
    """Whether cron can keep it: it knows minutes, no seconds, and no time to count from."""
    return schedule.split()[0] != every.EVERY and len(schedule.split()) != 6


def for_cron(job: Timed, tick: datetime) -> bool:
    """Whether it is for cron to file this tick: the clock waits for it then."""
    whole = tick.second == 0 and tick.microsecond == 0
    return whole and job.schedule is not None and of_cron(job.schedule)


def _reason(said: str, fields: str) -> str:
    """What is wrong, where cronsim says no more than the name of the field."""
    given = fields.split()
    for (name, accepted), field in zip(list(_FIELDS.items())[-len(given) :], given, strict=False):
        if said != f"Bad {name}":
            continue
        minute, hour, day, _, weekday = given[-5:]
        with contextlib.suppress(CronSimError):
            CronSim(f"{minute} {hour} {day} * {weekday}", datetime(2000, 1, 1, tzinfo=UTC))
            if name == "day-of-month":
                return f"it is never due, since no month in it has day {day}"
        return f"{field!r} is not understood as {name}, which takes {accepted}"
    return said


def _refuse_what_cron_reads_otherwise(fields: str) -> None:
    if fields.startswith("@"):
        name = fields.split()[0]
        started = "a machine's start is no time that could be late or missed: let its init system do that"
        raise CronSimError(started if name == "@reboot" else f"{name} is not a name that is known")
    given = fields.split()
    if len(given) not in (5, 6):
        raise CronSimError(f"it has {len(given)} fields, and not five, or six with seconds before them")
    if not _PLAIN_FIELDS.fullmatch(fields):
        what = "L, W and # are" if "#" in fields else "some character in it is"
        raise CronSimError(f"{what} not cron's, and so can't stand in a crontab")
    # Of 8-8/2, cronsim makes 8, 10, 12 and so on, and cron 8.
    one = any(_number(low) == _number(high) for low, high in _STEP_OF_A_RANGE.findall(fields))
    if one or _STEP_OF_ONE_VALUE.search(fields):
        raise CronSimError("a step needs a range or * before it, such as 0-59/5")
    if _LARGE.search(fields):
        raise CronSimError("no field takes a number of three digits")
    if any(_LAST_OR_NTH.search(field) for field in given[:-2]) or any(
        re.search(r"\d[LW]|^L$", field) for field in given[-2:]
    ):
        raise CronSimError("L, W and # are not cron's, and so can't stand in a crontab")


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else _NUMBERS.get(text.lower(), text)


def once(job: Timed) -> datetime:
    """The one tick of a one-shot."""
    return job.at if job.at is not None else job.effective_from


def next_tick(job: Timed, after: datetime) -> datetime | None:
    """The first tick later than `after`, in UTC; None where there is none any more."""
    return next(iter(next_ticks(job, after, 1)), None)


def next_ticks(job: Timed, after: datetime, most: int) -> tuple[datetime, ...]:
    """The first ticks later than `after`, in UTC: so many, or fewer where there are no more."""
    if job.schedule is None or not job.enabled:
        return ()
    if job.schedule == ONCE:
        tick = once(job)
        return (tick,) if tick > after and tick >= job.effective_from else ()
    start = max(after, job.effective_from - _INSTANT)
    if every.period(job.schedule) is not None:
        return tuple(islice(_ticks(job, start), most))
    whole = start.replace(microsecond=0)
    whole = whole.replace(second=0) if of_cron(job.schedule) else whole
    return _of_moment(job.schedule, job.timezone, whole, most)


@lru_cache(maxsize=10_000)
def _of_moment(schedule: str, timezone: str, moment: datetime, most: int) -> tuple[datetime, ...]:
    """The first ticks after a moment, and after any instant of the minute, or second, that it begins: asked for
    again and again."""
    return tuple(islice(instants.ticks(_fields(schedule), ZoneInfo(timezone), moment), most))


def tick_before(job: Timed, before: datetime) -> datetime | None:
    """The last tick earlier than `before`, in UTC; None where there is none."""
    first = _first_after(job, None)
    if first is None or first >= before:
        return None
    return first if job.schedule == ONCE else _latest_before(job, before)


def ticks_between(of: Recurring, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The instants from `begin` to before `end`, oldest first."""
    ticks = _ticks(of, begin - _INSTANT) if begin < end else ()
    return takewhile(lambda tick: tick < end, ticks)


def due_ticks(
    job: Timed, watermark: datetime | None, now: datetime, on_time: timedelta, most: int = 1
) -> Due:
    """The single authority on what is due at `now`, given the last tick that was dealt with.

    Every tick younger than `on_time` runs. Of the older ones only the latest does, and only if no younger
    one runs in its place; what is older than the job's `max_lateness` never runs. A one-shot is never too late.
    Nothing is due of a job that is disabled. Of a job that catches up with all, none is passed over: then the
    `most` oldest are due, and the others stay to be asked for.
    """
    first = _first_after(job, watermark)
    if first is None or first > now:
        return Due()
    if job.schedule == ONCE:
        return Due(ticks=(first,))
    seen = first - _INSTANT
    too_late = _last(job, seen, now - max(on_time, timedelta(seconds=job.max_lateness)))
    skips = []
    if too_late is not None:
        skips.append(Skip(first=first, last=too_late, reason=SkipReason.TOO_LATE))
        seen = too_late
    if job.catch_up is CatchUp.ALL:
        return Due(tuple(islice(_until(job, seen, now), most)), tuple(skips))
    run, passed_over = _latest(job, seen, now, now - on_time)
    return Due(run, (*skips, *passed_over))


def _latest(
    job: Timed, seen: datetime, now: datetime, limit: datetime
) -> tuple[tuple[datetime, ...], tuple[Skip, ...]]:
    """Of the ticks later than `seen` those later than `limit`, else the latest one; and the others."""
    old = _last(job, seen, limit + _INSTANT)
    run = tuple(_until(job, max(seen, limit), now))
    if not run and old is not None:
        run, old = (old,), _last(job, seen, old)
    if old is None:
        return run, ()
    return run, (Skip(first=next(_until(job, seen, old)), last=old, reason=SkipReason.COALESCED),)


def undone(job: Timed, watermark: datetime | None, until: datetime) -> tuple[datetime, datetime] | None:
    """The first and the last of the ticks before `until` that were not dealt with; None where there is none."""
    first = _first_after(job, watermark)
    if first is None or first >= until:
        return None
    if job.schedule == ONCE:
        return first, first
    last = _last(job, first, until)
    return first, first if last is None else last


def _first_after(job: Timed, watermark: datetime | None) -> datetime | None:
    return next_tick(job, watermark if watermark is not None else datetime.min.replace(tzinfo=UTC))


def _last(job: Timed, after: datetime, before: datetime) -> datetime | None:
    """The last tick later than `after` and earlier than `before`: looked for from there, for there may be many."""
    if before <= after or next(_ticks(job, after)) >= before:
        return None
    return _latest_before(job, before)


def _latest_before(job: Timed, before: datetime) -> datetime:
    """The last tick earlier than `before`, where there is one."""
    assert job.schedule is not None
    each = every.period(job.schedule)
    if each is not None:
        return every.last_tick(each, job.effective_from, before)
    return instants.last_tick(_fields(job.schedule), ZoneInfo(job.timezone), before)


def _until(job: Timed, after: datetime, now: datetime) -> Iterator[datetime]:
    return takewhile(lambda tick: tick <= now, _ticks(job, after))


def _ticks(job: Recurring, after: datetime) -> Iterator[datetime]:
    """The ticks later than `after`, in UTC."""
    assert job.schedule is not None
    each = every.period(job.schedule)
    if each is not None:
        return every.ticks(each, job.effective_from, after)
    return instants.ticks(_fields(job.schedule), ZoneInfo(job.timezone), after)


def _fields(schedule: str) -> str:
    return NAMES.get(schedule, schedule)
