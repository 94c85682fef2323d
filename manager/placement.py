"""Which node gets a job, pure: the same answer for the same question."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

    def met_by(self, nodes: Mapping[str, Labels]) -> list[str]:
        """Those of the nodes that will do."""
        if self.node is None:
            return [node for node, labels in nodes.items() if not self.lacking(labels)]
        will_do = self.node in nodes and not self.lacking(nodes[self.node])
        return [self.node] if will_do else []


NOTHING = Wants()


def wants(node: str | None, requires: Labels) -> Wants:
    """The same object for the same demand: a fleet has many jobs and few demands."""
    return _shared(node, tuple(sorted(requires.items())))


def place(
    jobs: Iterable[JobKey], load: Mapping[str, int], wanted: Mapping[int, Wants], nodes: Mapping[str, Labels]
) -> dict[JobKey, str]:
    """Give each of the jobs to the node with the fewest jobs among those that will do.

    Those for which the fewest nodes will do come first, since the others can make up for them; then all with one
    demand, in the order of their ids.

    Args:
        load: how many jobs each live node has.
        wanted: what jobs demand, by their ids; one that is not in it demands nothing.
        nodes: the labels of each live node.

    Returns: for each job its node; nothing for those that no live node may have.
    """
    alike: defaultdict[Wants, list[JobKey]] = defaultdict(list)
    for job in jobs:
        alike[wanted.get(job[0], NOTHING)].append(job)
    will_do = {demand: demand.met_by(nodes) for demand in alike}
    counts = dict(load)
    placed: dict[JobKey, str] = {}
    for demand in sorted(alike, key=lambda each: (len(will_do[each]), each.node or "", each.labels)):
        least = [(counts[node], node) for node in will_do[demand]]
        heapq.heapify(least)
        for job in sorted(alike[demand]) if least else ():
            count, node = least[0]
            placed[job] = node
            heapq.heapreplace(least, (count + 1, node))
        counts.update((node, count) for count, node in least)
    return placed


@lru_cache(maxsize=10_000)
def _shared(node: str | None, labels: tuple[tuple[str, str], ...]) -> Wants:
    return Wants(node, labels)
