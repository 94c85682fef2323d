"""Pauses of nodes and of the fleet: one contract on both databases."""

from datetime import timedelta

from support.samples import NOW

from cronkeeper.common.model import Node
from cronkeeper.common.pauses import Pauses
from cronkeeper.common.store import nodes, pauses
from cronkeeper.common.store.store import Store

LATER = NOW + timedelta(seconds=90)


def test_a_node_and_the_fleet_are_paused_once_and_resumed_once_each_by_itself(store: Store) -> None:
    for name in ("alpha", "beta"):
        store.transaction(
            lambda conn, name=name: nodes.add(conn, Node(name=name, public_key="k", added_at=NOW))
        )
    assert store.transaction(pauses.read) == Pauses()
    for whom in ("alpha", None):
        changed = [store.transaction(lambda conn, w=whom: pauses.pause(conn, w, NOW)) for _ in range(2)]
        assert changed == [True, False]
    assert store.transaction(nodes.roll).pauses == Pauses({"alpha": NOW}, {}, NOW, None)
    assert store.transaction(pauses.fleet) == NOW
    assert store.transaction(lambda conn: nodes.get(conn, "alpha")).paused_at == NOW
    for whom in ("alpha", None):
        changed = [store.transaction(lambda conn, w=whom: pauses.resume(conn, w, LATER)) for _ in range(2)]
        assert changed == [True, False]
    assert store.transaction(pauses.read) == Pauses({}, {"alpha": LATER}, None, LATER)


def test_a_node_that_is_not_there_is_not_paused(store: Store) -> None:
    assert store.transaction(lambda conn: pauses.pause(conn, "gamma", NOW)) is False
