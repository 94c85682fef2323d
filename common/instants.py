"""The instants of cron's fields in a time zone, pure.

What fields mean on a calendar is cronsim's, which follows Debian's crontab(5). What they mean where the clocks are
changed is ours, by Debian's cron(8) (`Span.opens`): cronsim works with a zone's local time, in which it loses ticks
where clocks are changed by half an hour, and finds some where they are changed at midnight.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim

from . import zones

_SECOND = timedelta(seconds=1)


def at_times(fields: str) -> bool:
    """Whether they name minutes and hours: neither begins with *, which is how Debian's cron knows wildcards."""
    minute, hour = fields.split()[-5:-3]
    return not minute.startswith("*") and not hour.startswith("*")


def ticks(fields: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """The instants later than `after`, in UTC, without end. Five fields, or six with seconds first."""
    named = at_times(fields)
    last = after.astimezone(UTC).replace(tzinfo=None)
    found: _Found | None = None
    for span in zones.spans(zone, last):
        opens = span.opens(at_times=named) - _SECOND
        start = max(opens, last + span.offset) if span.begin <= last else opens
        if found is None or not found.seen <= start < found.next:
            found = _Found(fields, start)
        while found.next < span.closes:
            tick = max(found.next - span.offset, span.begin)
            found.move()
            if tick > last:
                last = tick
                yield tick.replace(tzinfo=UTC)


class _Found:
    """The first local time that the fields name later than `seen`."""

    def __init__(self, fields: str, seen: datetime) -> None:
        self._following = CronSim(fields, seen)
        self.seen, self.next = seen, next(self._following)

    def move(self) -> None:
        self.seen, self.next = self.next, next(self._following)


def last_tick(fields: str, zone: tzinfo, before: datetime) -> datetime:
    """The last instant earlier than `before`, in UTC."""
    named = at_times(fields)
    limit = before.astimezone(UTC).replace(tzinfo=None)
    for span in zones.spans_back(zone, limit):
        local = next(CronSim(fields, min(span.closes, limit + span.offset), reverse=True))
        if local >= span.opens(at_times=named):
            return max(local - span.offset, span.begin).replace(tzinfo=UTC)
    raise AssertionError("each year has spans")
