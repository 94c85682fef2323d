"""A job as it is shown: with its schedule in words, what comes next, and what came last."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cron_descriptor import FormatError, Options, get_description  # type: ignore[import-untyped]

from cronkeeper.common import every, schedule
from cronkeeper.common.model import Job, Role, Run
from cronkeeper.common.pauses import Pauses
from cronkeeper.common.schedule import NAMES, ONCE, once
from cronkeeper.manager import pauses, runs

from .access import actor
from .services import services

NEXT_TICKS = 3
NOBODY = Pauses()
# The locale is named, since the library would else take that of the machine.
_IN_WORDS = Options(use_24hour_time_format=True, locale_code="en_US")
_OF_JOB = tuple(field.name for field in fields(Job))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob(Job):
    """A job, and what is worked out for whoever looks at it."""

    description: str | None
    next_ticks: tuple[datetime, ...]
    last_run: Run | None
    hidden: tuple[str, ...]


def shown(job: Job) -> ShownJob:
    """One job as it is shown. Raises: Unavailable."""
    return all_shown([job])[0]


def shown_new(job: Job) -> ShownJob:
    """A job that was created just now, of which there is no run to look up."""
    return _shown(job, None, services().clock())


def all_shown(jobs: Sequence[Job]) -> list[ShownJob]:
    """The jobs as they are shown; their runs are looked up all at once. Raises: Unavailable."""
    newest = runs.newest(services().desk, [job.id for job in jobs])
    now, paused = services().clock(), pauses.known(services().desk)
    return [_shown(job, newest.get(job.id), now, paused) for job in jobs]


def _shown(job: Job, last_run: Run | None, now: datetime, paused: Pauses = NOBODY) -> ShownJob:
    masked, placement = _masked(job), {"placement": _placement(job, paused)}
    return ShownJob(
        **{name: getattr(job, name) for name in _OF_JOB} | placement | masked,
        hidden=tuple(masked),
        description=description(job),
        next_ticks=next_ticks(job, now),
        last_run=last_run,
    )


def _placement(job: Job, paused: Pauses) -> str | None:
    """Why it does not run as it should: as the leader has it, or since its node is paused."""
    if job.placement is not None or job.assigned_node is None:
        return job.placement
    if paused.fleet is not None:
        return "the whole fleet is paused"
    return f"node {job.assigned_node} is paused" if job.assigned_node in paused.nodes else None


def _masked(job: Job) -> dict[str, Any]:
    """What may be secret in a job that runs as a user of its own, as it is shown to those who are no admins."""
    if job.run_as is None or actor().role is Role.ADMIN:
        return {}
    masked = {"env": dict.fromkeys(job.env), "stdin": None}
    return {name: value for name, value in masked.items() if getattr(job, name)}


def description(job: Job) -> str | None:
    """When the job is due, in words; None for a job that only runs by hand."""
    if job.schedule is None:
        return None
    if job.schedule != ONCE:
        return _described(job.schedule)
    return f"once, at {once(job).astimezone(ZoneInfo(job.timezone)):%F %T} {job.timezone}"


def next_ticks(job: Job, now: datetime) -> tuple[datetime, ...]:
    """The next instants at which the job is due, in UTC: none for one that is disabled or has ended."""
    return () if job.ended_at is not None else schedule.next_ticks(job, now, NEXT_TICKS)


@lru_cache(maxsize=10_000)
def _described(text: str) -> str:
    """In words where there are words for it; else as it is, its name as five fields."""
    each = every.period(text)
    if each is not None:
        return f"Every {_how_long(each)}"
    fields = NAMES.get(text, text)
    *_, day, month, weekday = fields.split()
    time = fields.rsplit(maxsplit=3)[0]
    if any("*" in each and "," in each for each in fields.split()):
        return fields
    try:
        if "*" in (day, weekday):
            return _words(fields)
        by_day, by_weekday = (
            _words(f"{time} {day} {month} *"),
            _words(f"{time} * {month} {weekday}"),
        )
    except FormatError:
        return fields
    # Debian's rule, crontab(5): one of the two is enough, unless one of them begins with *.
    joined = "but only" if day.startswith("*") or weekday.startswith("*") else "or"
    return f"{by_day}; {joined} {by_weekday[0].lower()}{by_weekday[1:]}"


def _how_long(period: timedelta) -> str:
    """Such as: 1 hour 30 minutes."""
    left, told = period // timedelta(seconds=1), []
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, left = divmod(left, size)
        if number:
            told.append(f"{number} {unit}{'s' if number > 1 else ''}")
    return " ".join(told)


def _words(fields: str) -> str:
    words: str = get_description(fields, _IN_WORDS)
    return words
