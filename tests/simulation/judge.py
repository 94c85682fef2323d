"""What is wrong with a history: what the checker finds in it, and what only a look at the fleet itself shows."""

from collections import Counter
from collections.abc import Iterator

from simulation.checker import check
from simulation.cluster import Cluster
from simulation.deeds import People
from simulation.history import Complaint, History
from simulation.losses import of_lost
from simulation.scenario import Deed, Scenario
from support.promise import complaints

GUESS = "it was ended at"
"""Of an end that had not been told when its machine lost power nobody knows when it was."""

MANY = 1000
"""So many places are never all taken, be it by runs that wait for their artifacts."""


def judge(history: History, scenario: Scenario, cluster: Cluster, people: People) -> Iterator[Complaint]:
    """Everything that is not as it must be."""
    waited = _waited_for_artifacts(scenario, people)
    crowded = waited and any(each.max_running < MANY for each in scenario.nodes)
    without_power = any(away.what == "power" for away in history.trouble)
    for each in check(history):
        behind = crowded and (each.kind == "late" or "is told as skipped" in each.text)
        of_waiting = behind or (each.job_id in waited and _is_of_waiting(each))
        if not of_waiting and not (without_power and GUESS in each.text):
            yield each
    yield from of_lost(history)
    for text in [*people.strays, *complaints(cluster)]:
        kind = "stray" if text in people.strays else "unsettled"
        yield Complaint(kind=kind, job_id=0, tick=None, text=text)
    for name, machine in cluster.machines.items():
        if machine.crowd > machine.max_running:
            text = f"{machine.crowd} commands went on at once on {name}, which takes {machine.max_running}"
            yield Complaint(kind="overlap", job_id=0, tick=None, text=text)


def _is_of_waiting(complaint: Complaint) -> bool:
    return complaint.kind in ("late", "stray", "overlap") or "is told as skipped" in complaint.text


def _waited_for_artifacts(scenario: Scenario, people: People) -> set[int]:
    """Jobs whose artifacts came late: a run that was claimed waits for that however long, which nobody promised."""
    at_once = Counter(event.job for event in scenario.events if event.what is Deed.FETCH and event.at == 0)
    return {
        job.id
        for number, job in people.jobs.items()
        if people.plans[number].artifact and at_once[number] < len(scenario.nodes)
    }
