"""What cron gets of a job: the fields of its lines, in the node's zone, pure.

A hint too many costs nothing, since `due_ticks` decides; one that lacks costs the clock's grace. So where the job's
zone is not the node's, its lines are a superset of its ticks, whatever the two offsets are in the next 14 months.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from . import instants, zones
from .schedule import NAMES, ONCE, Timed, of_cron, once

_MINUTES, _HOURS = range(60), range(24)
_ANY_DAY = "* * *"
_SECOND = timedelta(seconds=1)


def cron_lines(job: Timed, zone: tzinfo, now: datetime) -> tuple[str, ...]:
    """The five fields of each of the job's crontab lines, mostly one; none for what cron need not know.

    The line of a one-shot names its minute, or the next where it has seconds. It would come back a year
    later: nothing is due then.
    """
    if job.schedule is None or not job.enabled or not of_cron(job.schedule):
        return ()
    if job.schedule == ONCE:
        tick = once(job) + timedelta(seconds=59)
        return (_at(tick.astimezone(zone)),) if once(job) > now else ()
    fields, own = NAMES.get(job.schedule, job.schedule), ZoneInfo(job.timezone)
    apart = zones.differences(own, zone, now.astimezone(UTC).date())
    if apart == {timedelta(0)}:
        return (fields,)
    gap = _after_a_gap(fields, own, zone, now)
    return (*_moved(fields, apart), *([] if gap is None else [gap]))


def _at(local: datetime) -> str:
    return f"{local.minute} {local.hour} {local.day} {local.month} *"


@lru_cache(maxsize=10_000)
def _moved(fields: str, apart: frozenset[timedelta]) -> tuple[str, ...]:
    """The fields in a zone that is so far ahead: one line, and one for every day where midnight is passed."""
    minute, hour, days = fields.split(maxsplit=2)
    known = CronSim(fields, datetime(2000, 1, 1, tzinfo=UTC))
    minutes: defaultdict[str, set[int]] = defaultdict(set)
    hours: defaultdict[str, set[int]] = defaultdict(set)
    for difference in apart:
        more_hours, more_minutes = divmod(difference // timedelta(minutes=1), 60)
        for each in known.minutes:
            carried, new_minute = divmod(each + more_minutes, 60)
            for new_hour in (each + more_hours + carried for each in known.hours):
                when = days if new_hour in _HOURS else _ANY_DAY
                minutes[when].add(new_minute)
                hours[when].add(new_hour % 24)
    return tuple(
        f"{_field(minutes[when], _MINUTES, minute)} {_field(hours[when], _HOURS, hour)} {when}"
        for when in sorted(minutes, key=lambda when: when != days)
    )


def _field(values: Collection[int], of: range, before: str) -> str:
    """A field that names these values. One that began with * does so still where it can: cron heeds that."""
    if len(values) == len(of):
        return "*"
    for step in range(2, len(of)):
        if before.startswith("*") and set(of[::step]) == values:
            return f"*/{step}"
    ordered = sorted(values)
    begins = [value for value in ordered if value - 1 not in values]
    ends = [value for value in ordered if value + 1 not in values]
    return ",".join(f"{one}" if one == two else f"{one}-{two}" for one, two in zip(begins, ends, strict=True))


def _after_a_gap(fields: str, own: tzinfo, zone: tzinfo, now: datetime) -> str | None:
    """The end of the next gap in the job's own time in which its fields name a time: it is due at that end."""
    if not instants.at_times(fields):
        return None
    for moment in zones.changes(own, now.astimezone(UTC).replace(tzinfo=None)):
        first, end = moment + zones.offset_at(own, moment - _SECOND), moment + zones.offset_at(own, moment)
        if first < end and next(CronSim(fields, first - _SECOND)) < end:
            return _at(moment.replace(tzinfo=UTC).astimezone(zone))
    return None
