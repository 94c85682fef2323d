"""Bugs that are planted into the product, one at a time, to see that the simulation finds them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from cronkeeper.common.coordination import lease
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Check, Delete, Op, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Claim, Generation, StartedBy
from cronkeeper.manager import publish, recovery, settle
from cronkeeper.manager.leadership import Reign
from cronkeeper.worker import claiming, claims
from cronkeeper.worker.assignment import Assignment, Held
from cronkeeper.worker.fence import Fence

Bug = Callable[[], AbstractContextManager[Any]]


@contextmanager
def no_epoch_check() -> Iterator[None]:
    """A deposed leader's batches pass."""
    with patch.object(Reign, "fence", lambda _reign: Check("/", 0)):
        yield


@contextmanager
def claim_without_version() -> Iterator[None]:
    """A worker sets its claims whatever anybody has written there meanwhile."""
    commit = Assignment._commit

    def at_any_version(self: Assignment, batches: Sequence[Sequence[Op]]) -> Sequence[Exception | None]:
        return commit(self, [[_at_any_version(op) for op in batch] for batch in batches])

    with patch.object(Assignment, "_commit", at_any_version):
        yield


class Whatever(int):
    """A version that every other one is equal to: what ZooKeeper has -1 for, and the embedded tree refuses."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def _at_any_version(op: Op) -> Op:
    return replace(op, version=Whatever(op.version)) if isinstance(op, SetData | Delete) else op


@contextmanager
def lease_longer_than_the_session() -> Iterator[None]:
    """1.5 times as long."""
    with patch.object(lease, "SHARE", 1.5):
        yield


@contextmanager
def lost_reply_retried_blindly() -> Iterator[None]:
    """A write of a claim whose reply was lost is sent again, and what that one is told is taken for the truth."""
    commit = Assignment._commit

    def twice(self: Assignment, batches: Sequence[Sequence[Op]]) -> Sequence[Exception | None]:
        first = commit(self, batches)
        return [
            commit(self, [batch])[0] if isinstance(error, Unavailable) else error
            for batch, error in zip(batches, first, strict=True)
        ]

    with patch.object(Assignment, "_commit", twice):
        yield


@contextmanager
def watermark_from_the_clock() -> Iterator[None]:
    """What was claimed is taken to be all that was due by now."""
    claim_ticks = claims.claim_ticks

    def by_clock(spec: Any, claim: Claim, look: claims.Look, *others: Any) -> claims.Decision:
        decision = claim_ticks(spec, claim, look, *others)
        if not decision.start:
            return decision
        return replace(decision, claim=replace(decision.claim, watermark=look.now))

    with patch.object(claims, "claim_ticks", by_clock):
        yield


@contextmanager
def catch_up_from_now() -> Iterator[None]:
    """A job that comes to a node begins there with the next tick."""
    look = claiming.Claiming.look

    def forgetful(
        self: claiming.Claiming, held: Held, trigger: StartedBy | None, now: Any, places: int
    ) -> Any:
        if trigger is StartedBy.ADOPTION:
            held.claim = replace(held.claim, watermark=now)
        return look(self, held, trigger, now, places)

    with patch.object(claiming.Claiming, "look", forgetful):
        yield


@contextmanager
def lease_renewed_by_a_read() -> Iterator[None]:
    """Any server's answer will do."""

    def renew(self: Lease, tree: Tree) -> None:
        sent_at = self.now()
        tree.children("/")
        self.renewed(sent_at)

    with patch.object(Lease, "renew", renew):
        yield


@contextmanager
def generation_used_twice() -> Iterator[None]:
    """The counter begins anew with each reign, and nothing tells of which reign it is."""
    with patch.object(Reign, "generation", lambda self: Generation(1, next(self._counter))):
        yield


@contextmanager
def generation_the_same_always() -> Iterator[None]:
    """A job that is published again has the generation that it had."""
    with patch.object(Reign, "generation", lambda self: Generation(self.epoch, 1)):
        yield


@contextmanager
def listed_before_fencing() -> Iterator[None]:
    """A failover does not see to it that the node is gone, and writes what it read, whatever is there now."""
    commit = publish._commit

    def unfenced(tree: Tree, head: list[Op], members: Any) -> Any:
        if len(head) == 1:
            return commit(tree, head, members)
        loose = [(move, [_at_any_version(op) for op in ops]) for move, ops in members]
        return commit(tree, head[:1], loose)

    with patch.object(publish, "_commit", unfenced):
        yield


@contextmanager
def run_lease_not_waited_for() -> Iterator[None]:
    """What a node left unfinished is given up as soon as it is gone."""
    recover = recovery.recover

    def at_once(claim: Claim, node: str, nodes: recovery.Nodes, *, now: float, run_lease: float) -> Any:
        return recover(claim, node, nodes, now=now, run_lease=run_lease * 0.0)

    with patch.object(settle, "recover", at_once):
        yield


@contextmanager
def fence_switched_off() -> Iterator[None]:
    """Nobody stops what others give up."""
    with patch.object(Fence, "step", lambda _fence: None):
        yield


PLANTED: dict[str, Bug] = {
    each.__name__: each
    for each in (
        no_epoch_check,
        claim_without_version,
        lease_longer_than_the_session,
        lost_reply_retried_blindly,
        watermark_from_the_clock,
        catch_up_from_now,
        lease_renewed_by_a_read,
        generation_used_twice,
        generation_the_same_always,
        listed_before_fencing,
        run_lease_not_waited_for,
        fence_switched_off,
    )
}
