"""The leader's writes to the tree: every batch checks the epoch, and one that fails is tried job by job."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from cronkeeper.common import isolation
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
from cronkeeper.common.model import (
    Claim,
    ClaimName,
    Definition,
    Generation,
    Job,
    Spec,
    decode,
    encode,
    replace,
)
from cronkeeper.common.store.leader import Deposed
from cronkeeper.manager import edits
from cronkeeper.manager.leadership import Reign

log = logging.getLogger(__name__)


NOWHERE = ""
"""In place of a node's name: the claim is parked, and has no spec."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a claim lies."""

    node: str
    name: ClaimName

    @classmethod
    def parked(cls, job_id: int, copy: int) -> "Placed":
        """At no node; there it needs no generation, for nobody reads it but the leader."""
        return cls(NOWHERE, ClaimName(job_id, copy, Generation(0, 0)))

    @property
    def claim(self) -> str:
        """The path of the claim."""
        if self.node == NOWHERE:
            return paths.parked(self.name.job_id, self.name.copy)
        return paths.claim(self.node, self.name)

    @property
    def spec(self) -> str | None:
        """The path of the spec beside it."""
        return None if self.node == NOWHERE else paths.spec(self.node, self.name)


@dataclass(frozen=True, slots=True)
class Move:
    """A job's claim from one place to another: published where `source` is None, withdrawn where `target` is.

    With a `job` the spec is made anew; without one the published spec is taken along as it is.
    With a `version` nothing happens unless the claim is at that version still.
    """

    key: tuple[int, int]
    source: Placed | None
    target: Placed | None
    job: Job | None = None
    version: int | None = None
    claim: Claim | None = None
    """What the claim of a job without a `source` begins with."""
    resting: bool = False
    """At its target the job starts nothing, as if it were not enabled: it is to leave as soon as it can."""
    unheard: datetime | None = None
    """Also where the node may be starting its ticks by itself: of those up to then nobody will hear any more."""

    @property
    def leaves(self) -> bool:
        """Whether the claim goes to another place."""
        return self.source is not None and self.target is not None and self.source.node != self.target.node


@dataclass(frozen=True, slots=True)
class Source:
    """What lies where a move begins."""

    placed: Placed
    claim: Node
    spec: Node | None


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
    claims = tree.get_many([source.claim for source in sources])
    on_nodes = [(source, path) for source in sources if (path := source.spec) is not None]
    read = tree.get_many([path for _, path in on_nodes])
    specs = {source: spec for (source, _), spec in zip(on_nodes, read, strict=True)}
    return {
        source: Source(source, claim, specs.get(source))
        for source, claim in zip(sources, claims, strict=True)
        if claim is not None and (specs.get(source) is not None or source.spec is None)
    }


def _of(move: Move, source: Source | None) -> list[Op] | None:
    """What the move takes; None where its source is gone, must stay, or is no longer what was looked at."""
    ops: list[Op] = []
    if move.source is not None:
        if source is None or move.version not in (None, source.claim.version):
            return None
        if move.leaves and move.unheard is None and _alone(source.claim.data):
            return None
        ops.append(Delete(move.source.claim, source.claim.version))
        if (path := move.source.spec) is not None and source.spec is not None:
            ops.append(Delete(path, source.spec.version))
    if move.target is not None:
        if (path := move.target.spec) is not None:
            ops.append(Create(path, _published(move, move.target, source)))
        ops.append(Create(move.target.claim, _carried(move, move.target, source)))
    return ops


def _carried(move: Move, target: Placed, source: Source | None) -> bytes:
    """The claim at the target."""
    if source is None:
        claim = encode(Claim() if move.claim is None else move.claim)
    elif move.job is None or source.spec is None:
        claim = source.claim.data
    else:
        claim = edits.carried(source.claim.data, source.spec.data, move.job, move.unheard)
    if source is not None:
        claim = _dated(claim, None if move.leaves else source.spec)
    if move.job is None:
        return claim
    return _marked(claim, move, target, move.job)


def _dated(claim: bytes, stood: Node | None) -> bytes:
    """The claim, saying since when the job is on its node, where its spec `stood` there before."""
    try:
        before = decode(claim, Claim)
    except ValueError:
        return claim
    since = None
    if stood is not None:
        since = stood.modified if before.here_since is None else before.here_since
    return claim if since == before.here_since else encode(replace(before, here_since=since))


def _marked(claim: bytes, move: Move, target: Placed, job: Job) -> bytes:
    """The claim, saying whether its node may go on by itself: once it may, that holds until it gives it back."""
    before = _alone(claim)
    stays = move.source is not None and not move.leaves
    may = isolation.goes_on(job) and not move.resting and target.node != NOWHERE
    after = may or (before and stays)
    return claim if after is before else encode(replace(decode(claim, Claim), alone=after))


def _alone(claim: bytes) -> bool:
    try:
        return decode(claim, Claim).alone
    except ValueError:  # whoever could go on by it can't read it either
        return False


def _published(move: Move, target: Placed, source: Source | None) -> bytes:
    """The spec at the target."""
    if move.job is not None:
        spec = spec_of(move.job, target.name.copy)
        return encode(replace(spec, enabled=False, resting=True) if move.resting else spec)
    assert source is not None
    assert source.spec is not None
    return source.spec.data
