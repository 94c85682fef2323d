"""Which node gets a job, pure: the same answer for the same question."""

import heapq
from collections.abc import Iterable, Mapping

JobKey = tuple[int, int]
"""(job, copy)"""


def place(jobs: Iterable[JobKey], load: Mapping[str, int], bound: Mapping[int, str]) -> dict[JobKey, str]:
    """Give each of the jobs, which have no live node, to the one with the fewest jobs.

    Args:
        load: how many jobs each live node has.
        bound: the node of each job that may be on that one only.

    Returns: for each job its node; nothing for those that no live node may have.
    """
    waiting = sorted(jobs)
    placed = {job: bound[job[0]] for job in waiting if job[0] in bound and bound[job[0]] in load}
    counts = dict(load)
    for node in placed.values():
        counts[node] += 1
    least = [(count, node) for node, count in counts.items()]
    heapq.heapify(least)
    for job in waiting if least else ():
        if job[0] not in bound:
            count, node = least[0]
            placed[job] = node
            heapq.heapreplace(least, (count + 1, node))
    return placed
