"""Which node gets a job, pure: the same answer for the same question."""

import heapq
from collections.abc import Iterable, Mapping

JobKey = tuple[int, int]
"""(job, copy)"""


def place(jobs: Iterable[JobKey], load: Mapping[str, int]) -> dict[JobKey, str]:
    """Give each of the jobs, which have no live node, to the one with the fewest jobs.

    Args:
        load: how many jobs each live node has.

    Returns: for each job its node; nothing where no node is live.
    """
    if not load:
        return {}
    least = [(count, node) for node, count in load.items()]
    heapq.heapify(least)
    placed: dict[JobKey, str] = {}
    for job in sorted(jobs):
        count, node = least[0]
        placed[job] = node
        heapq.heapreplace(least, (count + 1, node))
    return placed
