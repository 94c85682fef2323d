"""A pause of a node or of the fleet: nothing begins in it, and no resumption makes up for what fell due. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from cronkeeper.common.schedule import ONCE, Timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """What a node is told: since when it is paused, and until when it was; `until` None: it still is.

    Both are instants of the API's clock, as a job's `effective_from`.
    """

    since: datetime
    until: datetime | None = None

    @property
    def goes_on(self) -> bool:
        """Whether nothing may begin now."""
        return self.until is None


@dataclass(frozen=True, slots=True)
class Pauses:
    """Who is paused: as people have said it of single nodes, by name, and of the whole fleet."""

    nodes: dict[str, datetime] = field(default_factory=dict)
    """Since when."""
    resumed: dict[str, datetime] = field(default_factory=dict)
    """When each was resumed last."""
    fleet: datetime | None = None
    fleet_resumed: datetime | None = None

    def since(self, node: str) -> datetime | None:
        """Since when nothing begins on a node; None where it may."""
        return min((each for each in (self.nodes.get(node), self.fleet) if each is not None), default=None)

    def until(self, node: str | None, now: datetime) -> datetime | None:
        """Before when nothing may have fallen due that is to begin on a node: now, or where it is not paused, when
        it was resumed last; None: it never was. With no node this is about the fleet."""
        if self.fleet is not None or node in self.nodes:
            return now
        return max(self._ends(node), default=None)

    def told(self, node: str, before: Pause | None, now: datetime) -> Pause | None:
        """What a node is to be told that was told `before`; the same where nothing is new.

        A pause that began and ended since then is none: nothing can have waited for it.
        """
        since = self.since(node)
        if since is not None:
            return before if before is not None and before.goes_on else Pause(since=since)
        if before is None or not before.goes_on:
            return before
        ends = [each for each in self._ends(node) if each > before.since]
        # SQL may have been put back to a day before the pause: then it ends now.
        return Pause(since=before.since, until=max(ends, default=now))

    def _ends(self, node: str | None) -> list[datetime]:
        ends = (None if node is None else self.resumed.get(node), self.fleet_resumed)
        return [each for each in ends if each is not None]


def waits_for_resumption(job: Timed) -> bool:
    """Whether its one tick is not skipped in a pause: it is due as soon as it is sent, as a run by hand."""
    return job.schedule == ONCE and job.at is None
