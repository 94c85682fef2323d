"""Schedule arithmetic, pure: what an expression means, which ticks are due, and the fields cron gets.

The instants of an expression are cronsim's, which follows Debian's cron (crontab(5)), its rule for the change
to and from daylight saving time included.
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

import tzlocal
from cronsim import CronSim, CronSimError

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
    f"five cron fields (minute hour day-of-month month day-of-week), one of {', '.join(NAMES)}, or {ONCE}"
)
_FIELDS = {
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
_DAY = timedelta(days=1)
_LAST_OR_NTH = re.compile(r"[LW#]")


class Timed(Protocol):
    """Anything with a schedule: a job, or its published spec."""

    @property
    def schedule(self) -> str | None: ...
    @property
    def at(self) -> datetime | None: ...
    @property
    def timezone(self) -> str: ...
    @property
    def effective_from(self) -> datetime: ...
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
    fields = NAMES.get(expression, expression)
    try:
        _refuse_what_cron_reads_otherwise(fields)
        next(CronSim(fields, now.astimezone(zone)))
    except CronSimError as error:
        raise Invalid(
            f"{text!r} is no schedule: {_reason(str(error), fields)}; accepted: {ACCEPTED}"
        ) from error
    except StopIteration as error:
        raise Invalid(f"{text!r} is never due") from error
    return expression


def _reason(said: str, fields: str) -> str:
    """What is wrong, where cronsim says no more than the name of the field."""
    for (name, accepted), field in zip(_FIELDS.items(), fields.split(), strict=False):
        if said != f"Bad {name}":
            continue
        minute, hour, day, _, weekday = fields.split()
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
    if len(fields.split()) != 5:
        raise CronSimError(f"it has {len(fields.split())} fields and not five")
    if not _PLAIN_FIELDS.fullmatch(fields):
        what = "L, W and # are" if "#" in fields else "some character in it is"
        raise CronSimError(f"{what} not cron's, and so can't stand in a crontab")
    # Of 8-8/2, cronsim makes 8, 10, 12 and so on, and cron 8.
    one = any(_number(low) == _number(high) for low, high in _STEP_OF_A_RANGE.findall(fields))
    if one or _STEP_OF_ONE_VALUE.search(fields):
        raise CronSimError("a step needs a range or * before it, such as 0-59/5")
    if _LARGE.search(fields):
        raise CronSimError("no field takes a number of three digits")
    months_and_days = fields.split()[3:]
    if any(_LAST_OR_NTH.search(field) for field in fields.split()[:3]) or any(
        re.search(r"\d[LW]|^L$", field) for field in months_and_days
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


def next_ticks(job: Timed, after: datetime, count: int) -> tuple[datetime, ...]:
    """The first ticks later than `after`, in UTC: so many, or fewer where there are no more."""
    if job.schedule is None or not job.enabled:
        return ()
    if job.schedule == ONCE:
        tick = once(job)
        return (tick,) if tick > after and tick >= job.effective_from else ()
    start = max(after, job.effective_from - timedelta(microseconds=1))
    return _of_minute(job.schedule, job.timezone, start.replace(second=0, microsecond=0), count)


@lru_cache(maxsize=10_000)
def _of_minute(schedule: str, timezone: str, minute: datetime, count: int) -> tuple[datetime, ...]:
    """The first ticks after any instant of a minute, since they are whole minutes: asked for again and again."""
    return tuple(islice(_ticks(schedule, timezone, minute), count))


def ticks_between(schedule: str, timezone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The instants of an expression from `begin` to before `end`, oldest first."""
    ticks = _ticks(schedule, timezone, begin - timedelta(microseconds=1)) if begin < end else ()
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
    too_late = _between(job, first, now - max(on_time, timedelta(seconds=job.max_lateness)))
    skips = [Skip(first=first, last=too_late, reason=SkipReason.TOO_LATE)] if too_late is not None else []
    seen = too_late if too_late is not None else first - timedelta(microseconds=1)
    if job.catch_up is CatchUp.ALL:
        return Due(tuple(islice(_until(job, seen, now), most)), tuple(skips))
    ticks = _newest(job, seen, now, now - on_time)
    young = [tick for tick in ticks if tick > now - on_time]
    run = young if young else ticks[-1:]
    passed_over = ticks[: len(ticks) - len(run)]
    if passed_over:
        oldest = next(_until(job, seen, now))
        skips.append(Skip(first=oldest, last=passed_over[-1], reason=SkipReason.COALESCED))
    return Due(tuple(run), tuple(skips))


def undone(job: Timed, watermark: datetime | None, until: datetime) -> tuple[datetime, datetime] | None:
    """The first and the last of the ticks before `until` that were not dealt with; None where there is none."""
    first = _first_after(job, watermark)
    if first is None or first >= until:
        return None
    if job.schedule == ONCE:
        return first, first
    last = _between(job, first, until)
    return first, first if last is None else last


def _first_after(job: Timed, watermark: datetime | None) -> datetime | None:
    return next_tick(job, watermark if watermark is not None else datetime.min.replace(tzinfo=UTC))


def _between(job: Timed, first: datetime, limit: datetime) -> datetime | None:
    """The last tick from `first` to before `limit`: looked for at both ends, for there may be many."""
    if first >= limit:
        return None
    assert job.schedule is not None
    zone = ZoneInfo(job.timezone)
    backwards = CronSim(NAMES.get(job.schedule, job.schedule), limit.astimezone(zone), reverse=True)
    last = max(first, next(backwards).astimezone(UTC))
    for tick in takewhile(lambda tick: tick < limit, _ticks(job.schedule, job.timezone, last)):
        last = tick  # forwards is how ticks are named, should the two ways differ
    return last


def _newest(job: Timed, after: datetime, now: datetime, limit: datetime) -> list[datetime]:
    """The ticks later than `after`; of very many only those later than `limit`, and two or more before it."""
    begin = max(after, limit - _DAY)
    ticks = list(_until(job, begin, now))
    if begin > after and sum(tick <= limit for tick in ticks) < 2:
        return list(_until(job, after, now))
    return ticks


def _until(job: Timed, after: datetime, now: datetime) -> Iterator[datetime]:
    assert job.schedule is not None
    return takewhile(lambda tick: tick <= now, _ticks(job.schedule, job.timezone, after))


def _ticks(schedule: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The ticks later than `after`, in UTC."""
    local = after.astimezone(ZoneInfo(timezone))
    for tick in CronSim(NAMES.get(schedule, schedule), local):
        utc = tick.astimezone(UTC)
        if utc > after:
            yield utc


def local_zone() -> str:
    """The name of this machine's time zone; UTC where it has none that is known by name."""
    try:
        return check_zone(tzlocal.get_localzone_name())
    except (Invalid, LookupError, ValueError):
        return "UTC"


def check_zone(name: str) -> str:
    """The name of a time zone, known to exist. Raises: Invalid."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise Invalid(f"{name!r} is no time zone; an example of one: Europe/Berlin") from error
    return name


def cron_fields(job: Timed, zone: tzinfo, now: datetime) -> str | None:
    """The five fields of the job's crontab line, in the node's zone; None for what cron need not know.

    The line of a one-shot names its minute, or the next where it has seconds. It would come back a year
    later: nothing is due then.
    """
    if job.schedule is None or not job.enabled:
        return None
    if job.schedule != ONCE:
        return NAMES.get(job.schedule, job.schedule)
    tick = once(job)
    if tick <= now:
        return None
    local = (tick + timedelta(seconds=59)).astimezone(zone)
    return f"{local.minute} {local.hour} {local.day} {local.month} *"
