"""Schedule arithmetic, pure: what an expression means, which ticks are due, and the fields cron gets.

The instants of an expression are cronsim's, which follows Debian's cron (crontab(5)), its rule for the change
to and from daylight saving time included.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

import tzlocal
from cronsim import CronSim, CronSimError

from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import Skip, SkipReason

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
        raise Invalid(f"{text!r} is no schedule: {error}; accepted: {ACCEPTED}") from error
    except StopIteration as error:
        raise Invalid(f"{text!r} is never due") from error
    return expression


def _refuse_what_cron_reads_otherwise(fields: str) -> None:
    if fields.startswith("@"):
        raise CronSimError(f"{fields.split()[0]} is not supported")
    if len(fields.split()) != 5:
        raise CronSimError(f"it has {len(fields.split())} fields and not five")
    if not _PLAIN_FIELDS.fullmatch(fields):
        raise CronSimError("it has characters that cron does not know")
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
        raise CronSimError("L, W and # are not cron's")


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else _NUMBERS.get(text.lower(), text)


def once(job: Timed) -> datetime:
    """The one tick of a one-shot."""
    return job.at if job.at is not None else job.effective_from


def next_tick(job: Timed, after: datetime) -> datetime | None:
    """The first tick later than `after`, in UTC; None where there is none any more."""
    if job.schedule is None or not job.enabled:
        return None
    if job.schedule == ONCE:
        tick = once(job)
        return tick if tick > after and tick >= job.effective_from else None
    start = max(after, job.effective_from - timedelta(microseconds=1))
    return next(_ticks(job, start), None)


def due_ticks(job: Timed, watermark: datetime | None, now: datetime, on_time: timedelta) -> Due:
    """The single authority on what is due at `now`, given the last tick that was dealt with.

    Every tick younger than `on_time` runs. Of the older ones only the latest does, and only if no younger
    one runs in its place; what is older than the job's `max_lateness` never runs. A one-shot is never too late.
    Nothing is due of a job that is disabled.
    """
    if job.schedule is None or not job.enabled:
        return Due()
    floor = watermark if watermark is not None else datetime.min.replace(tzinfo=UTC)
    first = next_tick(job, floor)
    if first is None or first > now:
        return Due()
    if job.schedule == ONCE:
        return Due(ticks=(first,))
    return _split(job, first, now, on_time)


def _split(job: Timed, first: datetime, now: datetime, on_time: timedelta) -> Due:
    max_lateness = max(on_time, timedelta(seconds=job.max_lateness))
    too_late = _too_late(job, first, now - max_lateness)
    start = too_late.last if too_late is not None else first - timedelta(microseconds=1)
    rest = []
    for tick in _ticks(job, start):
        if tick > now:
            break
        rest.append(tick)
    young = [tick for tick in rest if tick > now - on_time]
    run = young if young else rest[-1:]
    passed_over = rest[: len(rest) - len(run)]
    skips = [too_late] if too_late is not None else []
    if passed_over:
        skips.append(Skip(first=passed_over[0], last=passed_over[-1], reason=SkipReason.COALESCED))
    return Due(tuple(run), tuple(skips))


def _too_late(job: Timed, first: datetime, limit: datetime) -> Skip | None:
    """The ticks from `first` to before `limit`: found at both ends, not counted, for they may be many."""
    if first >= limit:
        return None
    assert job.schedule is not None
    zone = ZoneInfo(job.timezone)
    backwards = CronSim(NAMES.get(job.schedule, job.schedule), limit.astimezone(zone), reverse=True)
    last = max(first, next(backwards).astimezone(UTC))
    return Skip(first=first, last=last, reason=SkipReason.TOO_LATE)


def _ticks(job: Timed, after: datetime) -> Iterator[datetime]:
    """The ticks later than `after`, in UTC."""
    assert job.schedule is not None
    local = after.astimezone(ZoneInfo(job.timezone))
    for tick in CronSim(NAMES.get(job.schedule, job.schedule), local):
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
