"""The nodes, the leader's row and the audit: one contract on both databases."""

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection
from support.samples import NOW, at_once, new_job

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Node
from cronkeeper.common.store import audit, jobs, leader, nodes
from cronkeeper.common.store.store import Store

ALPHA = Node(name="alpha", public_key="k" * 44, added_at=NOW)


def add(store: Store, node: Node) -> None:
    store.transaction(lambda conn: nodes.add(conn, node))


def test_nodes_are_listed_by_name_as_they_were_added(store: Store) -> None:
    beta = Node(name="beta", public_key="x", added_at=NOW)
    add(store, beta)
    add(store, ALPHA)
    assert store.transaction(nodes.listing) == [ALPHA, beta]
    assert store.transaction(lambda conn: nodes.get(conn, "beta")) == beta


def test_a_node_that_is_added_again_with_its_key_stays_as_it_is(store: Store) -> None:
    add(store, ALPHA)
    add(store, ALPHA)
    assert store.transaction(nodes.listing) == [ALPHA]


def test_a_name_that_is_taken_by_another_key_is_refused(store: Store) -> None:
    add(store, ALPHA)
    with pytest.raises(Conflict, match="there is a node alpha already, with another key"):
        add(store, replace(ALPHA, public_key="other"))


def test_of_two_nodes_that_take_a_name_at_once_one_gets_it(store: Store) -> None:
    def take(key: str) -> bool:
        try:
            add(store, replace(ALPHA, public_key=key))
        except Conflict:
            return False
        return True

    assert sorted(at_once([partial(take, "one"), partial(take, "two")])) == [False, True]


def test_names_that_differ_in_case_only_are_different_nodes(store: Store) -> None:
    add(store, ALPHA)
    add(store, replace(ALPHA, name="Alpha", public_key="other"))
    assert len(store.transaction(nodes.listing)) == 2


def test_a_node_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no node gamma"):
        store.transaction(lambda conn: nodes.get(conn, "gamma"))


def test_there_is_no_epoch_before_the_first_leader(store: Store) -> None:
    assert store.transaction(leader.read) == 0


def test_an_epoch_is_taken_by_compare_and_set(store: Store) -> None:
    store.transaction(lambda conn: leader.take(conn, 0, 7, "one"))
    assert store.transaction(leader.read) == 7
    with pytest.raises(Conflict, match="epoch 8 can't begin: the last one is 7 and no longer 0"):
        store.transaction(lambda conn: leader.take(conn, 0, 8, "two"))


def test_of_eight_leaders_that_take_an_epoch_at_once_one_gets_it(store: Store) -> None:
    def take(epoch: int) -> int:
        try:
            store.transaction(lambda conn: leader.take(conn, 0, epoch, "x"))
        except Conflict:
            return 0
        return epoch

    taken = at_once([partial(take, epoch) for epoch in range(1, 9)])
    assert [epoch for epoch in taken if epoch] == [store.transaction(leader.read)]


def test_a_deposed_leader_writes_nothing(store: Store) -> None:
    def write(conn: Connection) -> None:
        leader.fence(conn, 7)
        jobs.insert(conn, new_job(), "leader", NOW)

    store.transaction(lambda conn: leader.take(conn, 0, 7, "one"))
    store.transaction(write)
    store.transaction(lambda conn: leader.take(conn, 7, 8, "two"))
    with pytest.raises(Conflict, match="deposed: epoch 7 is over, the leader's is 8"):
        store.transaction(write)
    assert len(store.transaction(jobs.listing)) == 1


def test_a_leader_of_an_sql_that_was_put_back_writes_nothing(store: Store) -> None:
    store.transaction(lambda conn: leader.take(conn, 0, 7, "one"))
    with pytest.raises(leader.Deposed, match="it is at epoch 7, and was at 9"):
        store.transaction(lambda conn: leader.fence(conn, 9))


def test_the_audit_says_who_did_what_in_order(store: Store) -> None:
    def act(conn: Connection) -> None:
        audit.add(conn, actor="ann", action="job.create", job_id=3, detail="{}", now=NOW)
        audit.add(conn, actor="root", action="node.add", job_id=None, detail="é" * 100_000, now=NOW)

    store.transaction(act)
    first, second = store.transaction(audit.listing)
    assert first == audit.Entry(id=first.id, at=NOW, actor="ann", action="job.create", job_id=3, detail="{}")
    assert (second.action, second.job_id, len(second.detail)) == ("node.add", None, 100_000)
    assert store.transaction(lambda conn: audit.listing(conn, after=first.id)) == [second]
