"""Which fault has met which step of which job's policy: what was never hit was never tested."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

from simulation.cluster import Cluster
from simulation.deeds import People
from simulation.link import Link
from simulation.scenario import OF_NODES, Deed, Event, Fault, Strike

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import ClaimName, Job
from cronkeeper.common.schedule import ONCE

Cell = tuple[str, str, str]
"""(fault, step, policy)"""
POLICIES = ("forbid", "allow", "replace", "forbid+all", "allow+all", "once")
TREE = ("commit", "sync", "get_many", "children")


def policy_of(job: Job) -> str:
    """The policies that decide what a fault does to a job."""
    if job.schedule == ONCE:
        return "once"
    return str(job.concurrency) + ("+all" if job.catch_up == "all" else "")


def cells_of_strike(people: People, link: Link, call: str, event: Event) -> Iterator[Cell]:
    """A call of a daemon was struck."""
    return _cells(people, str(event.what), f"{link.kind} {call}", event.who)


def cells_of_fault(people: People, event: Event) -> Iterator[Cell]:
    """Something befell a machine, a daemon or a link, whatever it was about."""
    cluster = people.cluster
    if event.who in cluster.machines:
        step = "worker that runs" if cluster.machines[event.who].running else "idle worker"
    else:
        step = "leader" if cluster.leads(event.who) else "standby"
    return _cells(people, str(event.what), step, event.who)


def cells_of_deed(people: People, event: Event) -> Iterator[Cell]:
    """A person did something to a job that runs or not, or to a node that does."""
    if event.what in (Deed.PAUSE_NODE, Deed.RESUME_NODE):
        nodes = [event.who] if event.who else list(people.cluster.machines)
        for node in nodes:
            running = people.cluster.machines[node].running
            yield from _cells(people, str(event.what), "worker that runs" if running else "idle worker", node)
        return
    job = people.jobs.get(event.job)
    if job is None:
        return
    begun = any(run.plan.spec.job_id == job.id for run in _running(people.cluster))
    yield str(event.what), "running job" if begun else "idle job", policy_of(job)


def _running(cluster: Cluster) -> Iterator[object]:
    for machine in cluster.machines.values():
        yield from (process.command for process in machine.running.values())


def _cells(people: People, fault: str, step: str, who: str) -> Iterator[Cell]:
    concerned = people.jobs.values()
    if who in people.cluster.machines:
        here = _claimed_on(people.cluster, who)
        concerned = [job for job in concerned if job.id in here]
    for policy in sorted({policy_of(job) for job in concerned}):
        yield fault, step, policy


def _claimed_on(cluster: Cluster, node: str) -> set[int]:
    (names,) = cluster.desk.tree.children_many([paths.claims(node)])
    return {ClaimName.parse(name).job_id for name in names or ()}


def required() -> set[Cell]:
    """What a thousand seeds must have hit."""
    usual = [each for each in Strike if each is not Strike.TAKE_OVER]
    crashes = [each for each in usual if each not in (Strike.LOSE_CALL, Strike.LOSE_REPLY)]
    everyday = POLICIES[:5]
    cells = set(product(usual, ["worker commit", "leader commit", "leader sql"], everyday))
    cells |= set(product(usual, ["worker sync", "leader sync"], ["forbid"]))  # which is about no job
    cells |= set(product(crashes, ["worker start"], everyday))
    cells |= set(product(usual, ["reporter report"], everyday))
    cells |= set(product([Strike.TAKE_OVER], ["leader commit", "leader sql", "leader get_many"], everyday))
    others = (Fault.NO_SQL, Fault.WIPED, Fault.PUT_BACK, Fault.FORGOTTEN)
    of_nodes = [each for each in Fault if each not in others]
    cells |= set(product(of_nodes, ["idle worker", "worker that runs"], everyday))
    cells |= set(product([Fault.FORGOTTEN], ["idle worker"], everyday))
    of_managers = [
        Fault.CUT,
        Fault.CUT_IN,
        Fault.CUT_OUT,
        Fault.FROZEN,
        Fault.PAUSE,
        Fault.RESTART,
        Fault.NO_SQL,
    ]
    cells |= set(
        product([*of_managers, Fault.EXPIRED, Fault.SLOW, Fault.CLOCK, Fault.POWER], ["leader"], everyday)
    )
    cells |= set(
        product([each for each in Deed if each not in OF_NODES], ["idle job", "running job"], everyday)
    )
    cells |= set(product([Deed.PAUSE_NODE, Deed.RESUME_NODE], ["idle worker", "worker that runs"], everyday))
    return {(str(fault), step, policy) for fault, step, policy in cells}


def gaps(hit: Counter[Cell]) -> list[Cell]:
    """What is required and was not hit."""
    return sorted(cell for cell in required() if not hit[cell])


def table(hit: Counter[Cell]) -> str:
    """Lines of fault and step, columns of policies."""
    rows: Iterable[tuple[str, str]] = sorted({(fault, step) for fault, step, _ in {*hit, *required()}})
    width = max(len(f"{fault} {step}") for fault, step in rows) + 2
    lines = [" " * width + "".join(f"{policy:>12}" for policy in POLICIES)]
    for fault, step in rows:
        counts = "".join(f"{hit[fault, step, policy]:>12}" for policy in POLICIES)
        lines.append(f"{fault}, {step}".ljust(width) + counts)
    return "\n".join(lines)
