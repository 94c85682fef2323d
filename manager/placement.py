"""Which node gets a job, pure: the same answer for the same question."""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

JobKey = tuple[int, int]
"""(job, copy)"""
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wants:
    """What a job demands of its node: to be a certain one, to have certain labels."""

    node: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """In the order of their keys."""

    def lacking(self, labels: Labels) -> tuple[tuple[str, str], ...]:
        """The labels that a node with these ones lacks."""
        return tuple((key, value) for key, value in self.labels if labels.get(key) != value)

    def met_by(self, sites: "Mapping[str, Site]") -> "list[Site]":
        """Those of the nodes that will do, full or not."""
        if self.node is None:
            return [site for site in sites.values() if not self.lacking(site.labels)]
        site = sites.get(self.node)
        return [site] if site is not None and not self.lacking(site.labels) else []


@dataclass(frozen=True, slots=True)
class Site:
    """A live node as placing sees it: what it has, how many jobs lie there, and how many it takes (0: no limit)."""

    name: str
    labels: Labels
    load: int
    capacity: int = 0
    closed: bool = False
    """Whether it takes none for now, however few it has."""
    paused: bool = False
    """Whether nothing begins there for now: it gets what no other node takes."""

    @property
    def full(self) -> bool:
        """True where it takes no more. It may hold more than it takes: nothing leaves for that."""
        return self.closed or 0 < self.capacity <= self.load


NOTHING = Wants()
Demand = Callable[[JobKey], Wants]
"""What a job, or a copy of one, demands."""


def wants(node: str | None, requires: Labels) -> Wants:
    """The same object for the same demand: a fleet has many jobs and few demands."""
    return _shared(node, tuple(sorted(requires.items())))


def place(jobs: Iterable[JobKey], demand: Demand, sites: Mapping[str, Site]) -> dict[JobKey, str]:
    """Give each of the jobs to the node with the fewest jobs among those that will do and have room, the paused
    ones last.

    Those for which the fewest nodes will do come first, since the others can make up for them; then all with one
    demand, in the order of their ids.

    Args:
        sites: the live nodes, by their names.

    Returns: for each job its node; nothing for those that no live node may have, or has room for.
    """
    alike: defaultdict[Wants, list[JobKey]] = defaultdict(list)
    for job in jobs:
        alike[demand(job)].append(job)
    will_do = {wanted: wanted.met_by(sites) for wanted in alike}
    loads = {name: site.load for name, site in sites.items()}
    placed: dict[JobKey, str] = {}
    for wanted in sorted(alike, key=lambda each: (len(will_do[each]), each.node or "", each.labels)):
        placed |= _share_out(alike[wanted], will_do[wanted], loads)
    return placed


def return_home(
    homes: Mapping[JobKey, str], demand: Demand, sites: Mapping[str, Site]
) -> tuple[dict[JobKey, str], dict[str, Site]]:
    """Give each of the jobs to the node that had it, if it will do and has room; and the sites as they are then."""
    after = dict(sites)
    placed: dict[JobKey, str] = {}
    for job, home in sorted(homes.items()):
        site = after.get(home)
        if site is None or site.full or not demand(job).met_by({home: site}):
            continue
        placed[job] = home
        after[home] = replace(site, load=site.load + 1)
    return placed, after


def _share_out(jobs: list[JobKey], sites: Sequence[Site], loads: dict[str, int]) -> dict[JobKey, str]:
    """Give jobs that demand the same to these nodes, and note in `loads` what they hold then."""
    limits = {
        site.name: site.capacity if site.capacity > 0 else math.inf for site in sites if not site.closed
    }
    paused = {site.name: site.paused for site in sites}
    least = [
        (paused[name], loads[name], name, limit) for name, limit in limits.items() if loads[name] < limit
    ]
    heapq.heapify(least)
    placed: dict[JobKey, str] = {}
    for job in sorted(jobs) if least else ():
        last, count, node, limit = least[0]
        placed[job] = node
        if count + 1 < limit:
            heapq.heapreplace(least, (last, count + 1, node, limit))
            continue
        loads[node] = count + 1
        heapq.heappop(least)
        if not least:
            break
    loads.update((node, count) for _, count, node, _ in least)
    return placed


@lru_cache(maxsize=10_000)
def _shared(node: str | None, labels: tuple[tuple[str, str], ...]) -> Wants:
    return Wants(node, labels)
