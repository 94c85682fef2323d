"""A leader whose round becomes long stops by itself."""

from collections.abc import Callable
from typing import TypeVar

from support.samples import NOW, new_job

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import LiveNode, Node, encode
from cronkeeper.common.store import jobs, nodes
from cronkeeper.common.store.store import Store
from cronkeeper.manager.leader import Leader, LeaderRules

T = TypeVar("T")


def test_a_round_that_outlasts_the_lease_goes_no_further() -> None:
    server, store, clock = EmbeddedServer(None), Store("sqlite://"), [100.0]
    store.upgrade()
    node = server.connect()
    for path in (*paths.skeleton(), *paths.node_skeleton("alpha")):
        node.ensure(path)
    sign = LiveNode(name="alpha", incarnation="1", boot_id="b", version="0", crond=True)
    node.commit([Create(paths.live("alpha"), encode(sign), ephemeral=True)])
    store.transaction(lambda conn: nodes.add(conn, Node(name="alpha", public_key="key", added_at=NOW)))
    store.transaction(lambda conn: jobs.insert(conn, new_job(), "ann", NOW))
    tree = server.connect()
    leader = Leader(
        tree,
        store,
        Lease(6.0, clock=lambda: clock[0]),
        LeaderRules(60.0, 1.0, 6.0),
        name="slow",
        notify=lambda: None,
    )

    def slow(call: str, carry_out: Callable[[], T]) -> T:
        answer = carry_out()
        if call == "children":  # only to look at the fleet
            clock[0] += 5.0
        return answer

    tree.faults = slow
    leader.step(NOW)
    assert node.children(paths.claims("alpha")) == []
    tree.faults = None
    leader.step(NOW)
    assert node.children(paths.claims("alpha")) != []
    store.close()
