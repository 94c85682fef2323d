"""From the versions of a job: which schedule counted when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise

from simulation.expected import ONCE, named
from simulation.history import Version


@dataclass(frozen=True, slots=True)
class Era:
    """A time in which one schedule counted. What began or ended it is known to a moment only, by the API's clock.

    `begin`, `certain`, `until` and `last` are instants in seconds: the first at which it can have counted, those
    between which it surely did, and the last.
    """

    version: Version
    begin: float
    certain: float
    until: float
    last: float
    ended_by: str | None
    """edited, paused, removed; None: it never ended."""
    bare: bool
    """An edit to where the job may be has come with, or before, its end."""

    @property
    def one_shot(self) -> bool:
        return self.version.schedule is None or self.version.schedule == ONCE

    def ticks(self, until: float) -> list[int]:
        """Its ticks to before an instant, whole seconds since 1970."""
        version = self.version
        if version.schedule == ONCE or (version.schedule is None and version.at is not None):
            tick = (version.at or version.effective_from).timestamp()
            return [int(tick)] if version.effective_from.timestamp() - 1 < tick < until else []
        if version.schedule is None:
            return []
        end = datetime.fromtimestamp(until, UTC)
        ticks = named(version.schedule, version.timezone, version.effective_from, end)
        return [int(each.timestamp()) for each in ticks]

    def surely(self, tick: int) -> bool:
        """Whether it counted at this tick without a doubt."""
        return (self.one_shot or tick >= self.certain) and tick < self.until


def _timetable(version: Version) -> tuple[object, ...]:
    return (
        *(version.schedule, version.at, version.timezone),
        *(version.enabled, version.effective_from, version.removed),
    )


def _whereabouts(version: Version) -> tuple[object, ...]:
    return version.node, *sorted(version.requires.items())


def eras(versions: tuple[Version, ...], end: datetime, doubt: float) -> list[Era]:
    """All of them to the end of the history; what a person said is in doubt for so many seconds."""
    groups = [list(group) for _, group in groupby(versions, key=_timetable)]
    found = []
    for index, (group, following) in enumerate(pairwise([*groups, None])):
        assert group is not None
        version = group[0]
        if not version.enabled or version.removed:
            continue
        begin = certain = version.effective_from.timestamp()
        if index > 0:
            begin, certain = _change(version, doubt)
        until = last = end.timestamp() + doubt
        if following is not None:
            until, last = _change(following[0], doubt, groups[index][0])
        moved = {_whereabouts(each) for each in [*group, *(following or ())]}
        ended_by = None if following is None else _ending(following[0])
        found.append(Era(version, begin, certain, until, last, ended_by, len(moved) > 1))
    return found


def _change(to: Version, doubt: float, was: Version | None = None) -> tuple[float, float]:
    """Between which two instants a version came into force."""
    since = to.since.timestamp()
    moved = to.effective_from.timestamp() if was is None or to.effective_from != was.effective_from else since
    return min(since, moved) - doubt, max(since, moved) + doubt


def _ending(version: Version) -> str:
    if version.removed:
        return "removed"
    return "edited" if version.enabled else "paused"
