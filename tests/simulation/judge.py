"""What is wrong with a history: what the checker finds in it, and what only a look at the fleet itself shows."""

from collections.abc import Iterator

from simulation.checker import check
from simulation.cluster import Cluster
from simulation.deeds import People
from simulation.history import Complaint, History
from simulation.losses import of_lost
from support.promise import complaints


def judge(history: History, cluster: Cluster, people: People) -> Iterator[Complaint]:
    """Everything that is not as it must be."""
    yield from check(history)
    yield from of_lost(history)
    for text in [*people.strays, *complaints(cluster)]:
        kind = "stray" if text in people.strays else "unsettled"
        yield Complaint(kind=kind, job_id=0, tick=None, text=text)
    for name, machine in cluster.machines.items():
        if machine.crowd > machine.max_running:
            text = f"{machine.crowd} commands went on at once on {name}, which takes {machine.max_running}"
            yield Complaint(kind="overlap", job_id=0, tick=None, text=text)
