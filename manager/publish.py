"""The leader's writes to the tree: every batch checks the epoch, and one that fails is tried job by job."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import (
    MAX_BATCH_BYTES,
    BadVersion,
    Check,
    Create,
    Delete,
    Node,
    Op,
    Tree,
    batches,
)
from cronkeeper.common.errors import Conflict, Invalid, NotFound, Unavailable
from cronkeeper.common.model import Claim, ClaimName, Definition, Job, Spec, decode, encode
from cronkeeper.manager.leadership import Deposed, Reign

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a claim lies."""

    node: str
    name: ClaimName


@dataclass(frozen=True, slots=True)
class Move:
    """A job's claim from one place to another: published where `source` is None, withdrawn where `target` is.

    With a `job` the spec is made anew; without one the published spec is taken along as it is.
    """

    key: tuple[int, int]
    source: Placed | None
    target: Placed | None
    job: Job | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What lies where a move begins."""

    placed: Placed
    claim: Node
    spec: Node


def spec_of(job: Job, copy: int) -> Spec:
    """What is published of a job."""
    defined = {field.name: getattr(job, field.name) for field in fields(Definition)}
    return Spec(job_id=job.id, copy=copy, rev=job.rev, effective_from=job.effective_from, **defined)


Keep = Callable[[Sequence[tuple[Placed, Claim]]], None]


def carry_out(
    tree: Tree, reign: Reign, moves: Sequence[Move], *, keep: Keep | None = None, dead: str | None = None
) -> list[Move]:
    """Carry out what still can be, and return that; the rest was overtaken and is to be looked at again.

    Args:
        keep: is given the claims that are to be withdrawn, before they are: nobody else will know what they say.
        dead: the node that all sources lie on, when it was gone: then nothing is moved should it be back.

    Raises:
        Deposed: the epoch is another one now.
        Unavailable: some of the moves may have been carried out.
    """
    if not moves:
        return []
    found = _read_sources(tree, moves)
    groups = [(move, ops) for move in moves if (ops := _of(move, found.get(move.source))) is not None]
    withdrawn = [found[move.source] for move, _ in groups if move.source is not None and move.target is None]
    if keep is not None and withdrawn:
        keep([(each.placed, decode(each.claim.data, Claim)) for each in withdrawn])
    head: list[Op] = [reign.fence()]
    if dead is not None:
        head += [Create(paths.live(dead), b"", ephemeral=True), Delete(paths.live(dead), 0)]
    done: list[Move] = []
    todo = groups
    for batch in batches((ops for _, ops in groups), MAX_BATCH_BYTES - 1024):
        members, todo = _split(todo, len(batch))
        done += _commit(tree, head, members)
    return done


def _split(
    groups: list[tuple[Move, list[Op]]], operations: int
) -> tuple[list[tuple[Move, list[Op]]], list[tuple[Move, list[Op]]]]:
    """The first groups that make up so many operations, and the others."""
    count = 0
    while operations > 0:
        operations -= len(groups[count][1])
        count += 1
    return groups[:count], groups[count:]


def _commit(tree: Tree, head: list[Op], members: list[tuple[Move, list[Op]]]) -> list[Move]:
    together = [*head, *(op for _, ops in members for op in ops)]
    try:
        tree.commit(together)
        return [move for move, _ in members]
    except (Conflict, NotFound, Invalid):
        pass
    results = tree.commit_many([[*head, *ops] for _, ops in members])
    done = []
    for (move, _), error in zip(members, results, strict=True):
        if error is None:
            done.append(move)
        elif isinstance(error, Unavailable):
            raise error
        elif isinstance(error, Invalid):
            log.error("job %d can't be moved: %s", move.key[0], error, extra={"job": move.key[0]})
    if not done:
        _check_epoch(tree, head[0])
    return done


def _check_epoch(tree: Tree, fence: Op) -> None:
    assert isinstance(fence, Check)
    try:
        tree.commit([fence])
    except BadVersion as error:
        raise Deposed("the epoch in the tree is another leader's") from error


def _read_sources(tree: Tree, moves: Sequence[Move]) -> dict[Placed | None, Source]:
    """The claims and specs that are to be moved, as they are now; those that are gone are left out."""
    sources = [move.source for move in moves if move.source is not None]
    claims = tree.get_many([paths.claim(source.node, source.name) for source in sources])
    specs = tree.get_many([paths.spec(source.node, source.name) for source in sources])
    return {
        source: Source(source, claim, spec)
        for source, claim, spec in zip(sources, claims, specs, strict=True)
        if claim is not None and spec is not None
    }


def _of(move: Move, source: Source | None) -> list[Op] | None:
    """What the move takes; None where its source is gone."""
    ops: list[Op] = []
    if move.source is not None:
        if source is None:
            return None
        ops.append(Delete(paths.claim(move.source.node, move.source.name), source.claim.version))
        ops.append(Delete(paths.spec(move.source.node, move.source.name), source.spec.version))
    if move.target is not None:
        data = source.claim.data if source is not None else encode(Claim())
        if move.job is not None:
            published = encode(spec_of(move.job, move.target.name.copy))
        else:
            assert source is not None
            published = source.spec.data
        ops.append(Create(paths.spec(move.target.node, move.target.name), published))
        ops.append(Create(paths.claim(move.target.node, move.target.name), data))
    return ops
