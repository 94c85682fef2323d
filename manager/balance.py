"""Which jobs are to leave nodes that have more than their share, pure: the same answer for the same question."""

from collections.abc import Collection, Iterable, Mapping

from cronkeeper.manager.placement import Demand, JobKey, Site, Wants

AT_ONCE = 0.05
"""The part of a node's jobs that may leave it at once; one may always."""
WORTH_IT = 0.05
"""By more than what part of its jobs a node must exceed another one before a job goes there."""
MOST = 1000
"""Jobs that may leave at once, all nodes together."""


def spread(
    on: Mapping[str, Collection[JobKey]],
    demand: Demand,
    sites: Mapping[str, Site],
    busy: Collection[JobKey] = frozenset(),
) -> dict[JobKey, str]:
    """Give jobs from the nodes that have the most to those that will do and have the fewest.

    Afterwards no node has fewer jobs than the one that it gave to, so nothing moves to and fro.

    Args:
        on: the jobs on each node.
        sites: where jobs can be, by their names: none but these gives or takes.
        busy: jobs that can't leave now.

    Returns: for each of the jobs that are to leave its new node.
    """
    scales = _Scales(demand, sites)
    fewest = min(scales.loads.values(), default=0)
    moves: dict[JobKey, str] = {}
    for giver in sorted(sites, key=lambda name: (-sites[name].load, name)):
        load = sites[giver].load
        if _worth_it(load, fewest):
            idle = (key for key in sorted(on[giver]) if key not in busy)
            moves |= scales.relieve(giver, idle, min(max(1, int(load * AT_ONCE)), MOST - len(moves)))
    return moves


class _Scales:
    """How many jobs each node has, by now."""

    def __init__(self, demand: Demand, sites: Mapping[str, Site]) -> None:
        self.loads = {name: site.load for name, site in sites.items()}
        self._demand = demand
        self._sites = sites
        self._able: dict[Wants, list[Site]] = {}
        self._takers: dict[Wants, str | None] = {}
        """Who takes the next job of a demand, until one has moved."""

    def relieve(self, giver: str, idle: Iterable[JobKey], most: int) -> dict[JobKey, str]:
        """The first of the jobs, `most` at most, for which there is a better node."""
        moves: dict[JobKey, str] = {}
        for key in idle:
            if len(moves) >= most:
                break
            taker = self._taker(self._demand(key))
            if taker is not None and _worth_it(self.loads[giver], self.loads[taker]):
                moves[key] = taker
                self.loads[giver] -= 1
                self.loads[taker] += 1
                self._takers.clear()
        return moves

    def _taker(self, demand: Wants) -> str | None:
        """Of the nodes that will do and have room the one with the fewest jobs."""
        if demand not in self._able:
            self._able[demand] = demand.met_by(self._sites)
        if demand not in self._takers:
            room = (each for each in self._able[demand] if not 0 < each.capacity <= self.loads[each.name])
            names = (site.name for site in room)
            self._takers[demand] = min(names, key=lambda name: (self.loads[name], name), default=None)
        return self._takers[demand]


def _worth_it(giver: int, taker: int) -> bool:
    return giver - taker > max(1.0, giver * WORTH_IT)
