"""Runs on their way to a node and on it: one contract on both databases."""

from datetime import timedelta

from support.samples import NOW, TICK, hand_run, report

from cronkeeper.common.model import FINAL, Report, Run, RunState, tick_run_id
from cronkeeper.common.store import runs
from cronkeeper.common.store.store import Store

ID = tick_run_id(1, 0, TICK, 1)
LATER = NOW + timedelta(minutes=5)


def record(store: Store, one: Report) -> Run | None:
    return store.transaction(lambda conn: runs.record(conn, one, NOW))


def got(store: Store, run_id: str = ID) -> Run:
    return store.transaction(lambda conn: runs.get(conn, run_id))


def request(store: Store, one: Run) -> None:
    store.transaction(lambda conn: runs.request(conn, one))


def dispatch(store: Store, run_id: str) -> bool:
    return store.transaction(lambda conn: runs.dispatched(conn, run_id, "alpha", "1-7"))


def test_requests_wait_oldest_first_until_they_are_dispatched(store: Store) -> None:
    new, old = hand_run("new", created_at=LATER), hand_run("old")
    request(store, new)
    request(store, old)
    assert store.transaction(runs.queued) == [old, new]
    assert store.transaction(lambda conn: runs.queued(conn, limit=1)) == [old]
    assert dispatch(store, old.id)
    assert store.transaction(runs.queued) == [new]
    assert (got(store, old.id).node, got(store, old.id).gen) == ("alpha", "1-7")


def test_a_run_that_has_begun_is_not_dispatched(store: Store) -> None:
    record(store, report(RunState.CLAIMED, node="beta"))
    assert not dispatch(store, ID)
    assert not dispatch(store, "nothing")
    assert got(store).node == "beta"


def test_a_dispatched_run_that_nobody_began_can_wait_again(store: Store) -> None:
    asked, begun = hand_run("asked"), hand_run("begun")
    for one in (asked, begun):
        request(store, one)
        dispatch(store, one.id)
    record(store, report(RunState.CLAIMED, run_id=begun.id, gen="1-7"))
    store.transaction(lambda conn: runs.undispatch(conn, [asked.id, begun.id, "nothing"]))
    assert store.transaction(runs.queued) == [asked]
    assert got(store, begun.id).gen == "1-7"


def test_a_nodes_unfinished_runs_are_those_it_claimed_or_started(store: Store) -> None:
    for state in (RunState.CLAIMED, RunState.RUNNING, *FINAL):
        record(store, report(state, run_id=state.value))
    record(store, report(RunState.CLAIMED, run_id="elsewhere", node="beta"))
    found = store.transaction(lambda conn: runs.unfinished_on(conn, "alpha"))
    assert {run.id for run in found} == {"claimed", "running"}
