"""What the tree has of jobs, runs and nodes, all at one look: for SQL that has forgotten some of it."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Node, Tree
from cronkeeper.common.facts import Facts
from cronkeeper.common.model import ONLY, Claim, Spec, Unfinished, decode
from cronkeeper.common.records import Record

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Sighting:
    """See the module."""

    specs: dict[int, list[Spec]] = field(default_factory=dict)
    """What is published of jobs, by their ids."""
    claimed: set[int] = field(default_factory=set)
    """The jobs that have a claim, be it a parked one."""
    runs: set[str] = field(default_factory=set)
    """Those that claims and inboxes list."""
    abroad: list[Unfinished] = field(default_factory=list)
    """The runs that go on, by a claim which is not their node's."""
    copies: dict[tuple[int, int], str] = field(default_factory=dict)
    """Of jobs that are on every node, the copies that have a claim, and the node of each; "": it is parked."""
    nodes: set[str] = field(default_factory=set)
    """Those that hold a claim, or have a run that a claim lists."""
    highest: int = 0
    """The highest number of a job that is to be found anywhere."""


def look(tree: Tree) -> Sighting:
    """Raises: Unavailable."""
    tree.sync()
    seen, names = Sighting(), tree.children(paths.NODES)
    _see_jobs(tree, names, seen)
    inboxes = tree.children_many([paths.inbox(name) for name in names])
    seen.runs |= {run_id for some in inboxes for run_id in some or ()}
    facts = _read(tree, [paths.facts(name) for name in names], Facts)
    records = _read(tree, [paths.records(name) for name in names], tuple[Record, ...])
    elsewhere = {run_id for _, told in facts for run_id in told.runs or ()}
    numbers = [record.job_id for _, some in records for record in some]
    numbers += [int(name) for name in tree.children(paths.CHANGES)]
    numbers += [*seen.specs, *seen.claimed, *map(_job_of, seen.runs | elsewhere)]
    seen.highest = max(numbers, default=0)
    return seen


def _see_jobs(tree: Tree, names: Sequence[str], seen: Sighting) -> None:
    claims = _below(tree, [paths.claims(name) for name in names])
    parked = _below(tree, [paths.PARKED])
    seen.claimed |= {_job_of(path.rpartition("/")[2]) for path in (*claims, *parked)}
    seen.nodes |= {_holder(path) for path in claims}
    there = [(*path.rpartition("/")[2].split(".")[:2], _holder(path)) for path in (*parked, *claims)]
    seen.copies = {(int(job_id), int(copy)): node for job_id, copy, node in there if int(copy) != ONLY}
    for _, spec in _read(tree, _below(tree, [paths.specs(name) for name in names]), Spec):
        seen.specs.setdefault(spec.job_id, []).append(spec)
    for path, claim in _read(tree, [*claims, *parked], Claim):
        seen.runs |= {run.run_id for run in claim.unfinished}
        seen.nodes |= {run.node for run in claim.unfinished if not run.waits}
        seen.abroad += [run for run in claim.unfinished if run.goes_on and run.node != _holder(path)]


def _holder(path: str) -> str:
    """The node that has the claim; of one that is parked no node."""
    return "" if path.startswith(paths.PARKED) else path.split("/")[2]


def _below(tree: Tree, folders: Sequence[str]) -> list[str]:
    found = zip(folders, tree.children_many(folders), strict=True)
    return [f"{folder}/{name}" for folder, names in found for name in names or ()]


def _read(tree: Tree, paths_of: Sequence[str], kind: type[T]) -> Iterable[tuple[str, T]]:
    """What lies there and can be read, each with its path."""
    for path, node in zip(paths_of, tree.get_many(paths_of), strict=True):
        if (value := _decoded(path, node, kind)) is not None:
            yield path, value


def _decoded(path: str, node: Node | None, kind: type[T]) -> T | None:
    try:
        return None if node is None else decode(node.data, kind)
    except ValueError as error:
        log.error("%s can't be read: %s", path, error)
        return None


def _job_of(name: str) -> int:
    """The number of the job in the name of a run or of a parked claim."""
    return int(name.partition(".")[0])
