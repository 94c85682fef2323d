"""Which node gets a job, pure: stable, least movement, the same answer for the same question."""

from collections import Counter
from collections.abc import Iterable, Mapping

JobKey = tuple[int, int]
"""(job, copy)"""


def place(
    jobs: Iterable[JobKey], live: Iterable[str], current: Mapping[JobKey, str]
) -> dict[JobKey, str | None]:
    """A live node for each of the jobs: the one it has, else the one with the fewest jobs.

    Args:
        current: where every job of the fleet is now, on live nodes and others.

    Returns: for each job its node; None where no node is live.
    """
    nodes = set(live)
    load = Counter(dict.fromkeys(nodes, 0))
    load.update(node for node in current.values() if node in nodes)
    placed: dict[JobKey, str | None] = {}
    for job in sorted(jobs):
        here = current.get(job)
        if here in nodes:
            placed[job] = here
        elif not nodes:
            placed[job] = None
        else:
            chosen = min(nodes, key=lambda node: (load[node], node))
            load[chosen] += 1
            placed[job] = chosen
    return placed
