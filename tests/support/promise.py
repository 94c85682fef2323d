"""What must be true of a fleet that has been left alone for a while, whatever befell it before."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from cronkeeper.common.coordination import paths
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Copies, Job
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.schema import leader, metadata, schema_info
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs, ledger

from .fleet import Fleet

AT_ONCE = Rules(patience=timedelta(0))
DAY = timedelta(days=1)
ALONE = 3
"""So many dots are in a token that a node gave out alone."""


def blank(store: Store) -> Store:
    """The store as if it had just been made."""

    def work(connection: sa.Connection) -> None:
        for table in (each for each in metadata.sorted_tables if each is not schema_info):
            connection.execute(sa.delete(table))
        connection.execute(sa.insert(leader), {"id": 1, "epoch": 0, "writes": 0})
        connection.execute(sa.text("DELETE FROM sqlite_sequence"))

    store.transaction(work)
    return store


def complaints(fleet: Fleet) -> list[str]:
    """Everything that is not as it must be."""
    return [*_of_starts(fleet), *_of_tree(fleet), *_of_jobs(fleet), *_of_nodes(fleet), *_of_ledger(fleet)]


def _of_starts(fleet: Fleet) -> Iterator[str]:
    known = fleet.runs()
    there = (machine for name, machine in fleet.machines.items() if name in fleet.loops)
    can_be_told = {run_id for machine in there for run_id in machine.starts}
    for run_id, count in Counter(fleet.starts()).items():
        if count > 1:
            yield f"{run_id} was started {count} times"
        if run_id in can_be_told and run_id not in known:
            yield f"{run_id} was started and SQL does not know it"
    for run in known.values():
        if not run.state.final:
            yield f"{run.id} is still {run.state}"


def _of_tree(fleet: Fleet) -> Iterator[str]:
    tree = fleet.desk.tree
    if left := tree.children(paths.CHANGES):
        yield f"changes are left: {left}"
    for node in tree.children(paths.NODES):
        if left := tree.children(paths.inbox(node)):
            yield f"the inbox of {node} holds {left}"
        if tree.children(paths.claims(node)) != tree.children(paths.specs(node)):
            yield f"claims and specs of {node} differ"
    for (node, name), claim in fleet.claims().items():
        if claim.unfinished or claim.skips:
            yield f"the claim {name} on {node} lists {claim.unfinished} {claim.skips}"


def _of_jobs(fleet: Fleet) -> Iterator[str]:
    claims = [(node, name) for node, name in fleet.claims()]
    for job in jobs.listing(fleet.desk, JobQuery(limit=1000)):
        places = [node for node, name in claims if name.job_id == job.id]
        if job.copies is Copies.ALL:
            here = [each for each in jobs.copies_of(fleet.desk, job.id) if each.until is None and each.gen]
            expected = [each.node for each in here]
        else:
            expected = _of_one(job)
        if sorted(places) != sorted(expected):
            yield f"job {job.id} is on {places}, SQL says {expected}"
        if job.ended_at is None and not places and job.copies is Copies.ONE:
            yield f"job {job.id} is nowhere"
        if job.rev != job.published_rev:
            yield f"job {job.id} has rev {job.rev}, published is {job.published_rev}"


def _of_one(job: Job) -> list[str]:
    return [] if job.ended_at is not None or job.assigned_node is None else [job.assigned_node]


def _of_nodes(fleet: Fleet) -> Iterator[str]:
    for name, machine in fleet.machines.items():
        if name in fleet.loops and machine.folders():
            yield f"{name} has the run folders {machine.folders()}"
        if (
            name in fleet.loops
            and (reporter := fleet.daemons[name].reporter) is not None
            and reporter.waiting()
        ):
            yield f"{name} has {reporter.waiting()} reports"


def _of_ledger(fleet: Fleet) -> Iterator[str]:
    now = fleet.time.now
    for job in jobs.listing(fleet.desk, JobQuery(limit=1000)):
        found = ledger.of_job(fleet.desk, job.id, Window(begin=now - DAY, end=now, now=now), AT_ONCE)
        for entry in found.ticks:
            if entry.result is Result.UNACCOUNTED:
                yield f"nothing tells what became of the tick {entry.tick} of job {job.id}"
