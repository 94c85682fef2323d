"""ZooKeeper is lost, or put back, while something else is the matter: no tick runs twice, and none is forgotten."""

from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.fakes import BEGIN, Trouble, crash_after
from support.fleet import RUN_LEASE, Fleet
from support.labelled import EACH_MINUTE, RUN, SECOND, SSD, MakeFleet, two
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded_nodes import Nodes
from cronkeeper.common.model import CatchUp, JobStatus, OnNodeLoss, RunState
from cronkeeper.common.records import Record
from cronkeeper.common.store.schema import leader
from cronkeeper.manager.restoring import Restoring
from cronkeeper.worker.journal import Journal

TICK = BEGIN + timedelta(seconds=30)
AGAIN = f"{RUN[:-1]}2"


def states(fleet: Fleet) -> dict[str, RunState]:
    return {run_id: run.state for run_id, run in sorted(fleet.runs().items())}


def doubled(fleet: Fleet) -> list[str]:
    return [run_id for run_id, count in Counter(fleet.starts()).items() if count > 1]


def lasting(fleet: Fleet, seconds: float) -> None:
    for machine in fleet.machines.values():
        machine.run_seconds = seconds


@pytest.mark.parametrize("node", [None, "alpha"])
def test_a_job_that_no_live_node_may_have_stays_one_whose_claim_was_lost(
    make_fleet: MakeFleet, node: str | None
) -> None:
    fleet = make_fleet("alpha", "beta") if node is not None else make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE, node=node)
    fleet.until(TICK + timedelta(seconds=5))
    assert fleet.starts() == [RUN]
    fleet.stop("alpha")
    fleet.lose_tree()
    fleet.go(22)
    assert "live" in str(fleet.job_of(1).placement)
    fleet.restart("first")
    fleet.go(2)
    fleet.work("alpha")
    fleet.until(TICK + timedelta(seconds=75))
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_job_that_rested_before_it_was_to_leave_its_node_is_known_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 150.0)
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    node, _ = fleet.claim(job)
    fleet.change(fleet.job(job), node="beta" if node == "alpha" else "alpha")
    fleet.go(5)
    assert fleet.job(job).published_rev == 0
    fleet.lose_tree()
    fleet.go(100)
    assert fleet.starts() == [RUN]
    lasting(fleet, 1.0)
    fleet.go(120)
    assert doubled(fleet) == []
    assert complaints(fleet) == []


@pytest.mark.parametrize("call", range(12))
def test_a_manager_that_dies_while_it_makes_the_folders_leaves_none_of_them_out(
    make_fleet: MakeFleet, call: int
) -> None:
    trouble = Trouble()
    fleet = make_fleet("alpha", trouble={"leader": trouble})
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    trouble.arm(call, crash_after)
    fleet.lose_tree()
    fleet.until(TICK + timedelta(seconds=70))
    trouble.disarm()
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_run_that_only_a_moved_claim_told_of_is_known_when_that_is_lost(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 60.0)
    copy = fleet.copy_tree()
    fleet.go(10)
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK - timedelta(seconds=1))
    ((node, _),) = fleet.claims()
    fleet.loops.pop(f"{node}'s reporter")
    fleet.go(2)
    assert fleet.starts() == [RUN]
    assert fleet.runs() == {}
    fleet.stop(node)
    fleet.go(8)
    fleet.lose_tree(copy)
    fleet.go(20)
    fleet.work(node)
    lasting(fleet, 1.0)
    fleet.go(100)
    assert doubled(fleet) == []
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_what_nobody_could_vouch_for_is_told_by_its_node_when_that_is_back(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule="1 * * * *", node="alpha")
    fleet.until(TICK - timedelta(seconds=1))
    fleet.loops.pop("alpha's reporter")
    fleet.go(2)
    fleet.stop("alpha")
    fleet.change(fleet.job(job), node="beta")
    fleet.lose_tree()
    fleet.until(TICK + timedelta(seconds=RUN_LEASE + 25))
    assert fleet.runs()[RUN].reason == "unvouched"
    fleet.work("alpha")
    fleet.go(30)
    told = fleet.runs()[RUN]
    assert (told.state, told.node, told.reason) == (RunState.SUCCEEDED, "alpha", None)
    assert doubled(fleet) == []
    assert complaints(fleet) == []


def test_a_leader_whose_session_is_in_the_copy_begins_anew(fleet: Fleet) -> None:
    fleet.submit(schedule="*/10 * * * * *", catch_up=CatchUp.ALL)
    fleet.go(40)
    core = fleet.server._core
    copy = {path: node for path, node in core._nodes._nodes.items() if path != "/"}
    fleet.go(100)
    trees = [daemon.tree for daemon in fleet.daemons.values()]
    for tree in trees:
        tree.disconnect()
    fleet.go(3)
    core._nodes = Nodes(copy, fleet.time.wall)
    for tree in trees:
        tree.reconnect()
    fleet.go(200)
    assert doubled(fleet) == []
    assert len(fleet.starts()) == 34
    assert int(fleet.desk.tree.get(paths.EPOCH).data) == 2


def test_jobs_return_to_the_node_that_had_them(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 40.0)
    jobs = [fleet.submit(schedule=EACH_MINUTE) for _ in range(5)]
    fleet.go(2)
    fleet.remove(jobs[0])
    fleet.until(TICK + timedelta(seconds=5))
    before = {name.job_id: node for node, name in fleet.claims()}
    fleet.lose_tree()
    fleet.go(30)
    assert {name.job_id: node for node, name in fleet.claims()} == before
    fleet.until(TICK + timedelta(seconds=110))
    assert len(fleet.starts()) == 8
    assert complaints(fleet) == []


def test_a_run_of_a_node_that_will_not_do_any_more_is_waited_for(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 100.0)
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=5))
    node, _ = fleet.claim(job)
    fleet.lose_tree()
    fleet.drain(node)
    fleet.go(60)
    assert fleet.claim(job)[0] != node
    assert fleet.starts() == [RUN]
    lasting(fleet, 1.0)
    fleet.until(TICK + timedelta(seconds=190))
    assert states(fleet)[RUN] is RunState.SUCCEEDED
    assert len(fleet.starts()) >= 2
    assert complaints(fleet) == []


def test_a_run_that_went_with_its_node_is_lost_and_followed_as_the_policy_says(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 1000.0)
    job = fleet.submit(schedule=EACH_MINUTE, on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=10))
    node, _ = fleet.claim(job)
    fleet.power_off(node)
    fleet.lose_tree()
    fleet.go(RUN_LEASE + 45)
    assert states(fleet)[RUN] is RunState.LOST
    assert states(fleet)[AGAIN] is RunState.RUNNING
    assert fleet.starts() == [RUN, AGAIN]


@pytest.mark.parametrize("leader_dies", [False, True])
def test_a_run_of_a_former_node_still_counts(make_fleet: MakeFleet, leader_dies: bool) -> None:
    fleet = make_fleet("alpha", "beta")
    lasting(fleet, 1000.0)
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    node, _ = fleet.claim(job)
    fleet.stop(node)
    fleet.go(10)
    assert fleet.claim(job)[0] != node
    fleet.lose_tree()
    fleet.go(40)
    assert fleet.starts() == [RUN]
    fleet.go(50)
    if leader_dies:
        fleet.restart("first")
    fleet.go(RUN_LEASE + 30)
    assert states(fleet)[RUN] is RunState.LOST
    assert len(fleet.starts()) == 2


def test_a_run_that_has_ended_since_its_node_told_of_it_is_not_lost(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting(fleet, 20.0)
    fleet.submit(schedule=EACH_MINUTE, on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.stop("first")
    fleet.lose_tree()
    fleet.lead("first")
    with monkeypatch.context() as held_up:
        held_up.setattr(Restoring, "claims", lambda *_: {})
        fleet.until(TICK + timedelta(seconds=35))
    fleet.until(TICK + timedelta(seconds=55))
    assert states(fleet) == {RUN: RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_a_node_that_has_too_much_to_tell_goes_on_all_the_same(fleet: Fleet) -> None:
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(2)
    much = tuple(Record(job_id=number, copy=1, tick=TICK) for number in range(10_000))
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    worker._parts.standing.records = lambda: much
    fleet.lose_tree()
    fleet.until(TICK + timedelta(seconds=135))
    assert doubled(fleet) == []
    assert len(fleet.starts()) >= 1


def test_where_sql_was_put_back_too_the_nodes_do_not_wait_for_a_mark_of_long_ago(fleet: Fleet) -> None:
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(300)
    fleet.store.transaction(lambda connection: connection.execute(sa.update(leader).values(tree_mark=1)))
    before = len(fleet.starts())
    fleet.lose_tree()
    fleet.go(110)
    assert len(fleet.starts()) > before
    assert complaints(fleet) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_that_was_claimed_and_has_not_begun_waits_for_its_job_to_be_published_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    fleet.submit(schedule=EACH_MINUTE, on_node_loss=OnNodeLoss.RERUN)
    with monkeypatch.context() as waiting:
        waiting.setattr(Journal, "_start", lambda *_, **__: None)  # as for an artifact
        fleet.until(TICK + timedelta(seconds=10))
        fleet.lose_tree()
        with waiting.context() as held_up:
            held_up.setattr(Restoring, "claims", lambda *_: {})
            fleet.go(10)
            if restarted:
                fleet.restart("alpha")
            fleet.go(8)
        assert fleet.starts() == []
        fleet.go(4)  # the leader looks again 20 s after it was told that there is nothing to be made again
    assert fleet.claim(fleet.job_of(1))[1].unfinished
    fleet.until(TICK + timedelta(seconds=50))
    assert states(fleet) == {RUN: RunState.SUCCEEDED}
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_one_whose_job_is_published_elsewhere_is_lost_and_followed_as_the_policy_says(
    make_fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, on_node_loss=OnNodeLoss.RERUN)
    with monkeypatch.context() as waiting:
        waiting.setattr(Journal, "_start", lambda *_, **_more: None)  # as for an artifact
        fleet.until(TICK + timedelta(seconds=10))
        node, _ = fleet.claim(job)
        fleet.lose_tree()
        fleet.drain(node)
        fleet.go(15)
        assert fleet.claim(job)[0] != node
    fleet.go(RUN_LEASE + 50)
    assert states(fleet)[RUN] is RunState.LOST
    assert states(fleet)[AGAIN] is RunState.SUCCEEDED
    assert fleet.starts()[0] == AGAIN


def test_a_one_shot_of_which_nobody_knows_whether_it_ran_is_finished(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule="@once", at=TICK)
    fleet.until(TICK - timedelta(seconds=1))
    node, _ = fleet.claim(job)
    fleet.loops.pop(f"{node}'s reporter")
    fleet.go(5)
    fleet.power_off(node)
    fleet.lose_tree()
    fleet.go(RUN_LEASE + 30)
    assert states(fleet) == {RUN: RunState.SKIPPED}
    assert fleet.job(job).status is JobStatus.FINISHED
    assert fleet.claims() == {}


@pytest.mark.parametrize("all_are_live", [True, False])
def test_what_fell_due_while_a_job_was_parked_is_vouched_for_where_every_node_has_told(
    make_fleet: MakeFleet, all_are_live: bool
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=20))
    node, _ = fleet.claim(job)
    other = "beta" if node == "alpha" else "alpha"
    fleet.change(fleet.job(job), requires={"site": "berlin"})
    fleet.go(1)
    if not all_are_live:
        fleet.stop(node)
    fleet.until(TICK + timedelta(seconds=65))
    fleet.lose_tree()
    fleet.go(10 if all_are_live else RUN_LEASE + 20)
    fleet.label(other, site="berlin")
    fleet.go(30)
    assert RUN in fleet.starts()
    assert doubled(fleet) == []
    due = fleet.runs()[SECOND if all_are_live else "1.1.20260301T120300Z.1"]
    assert due.state is (RunState.SUCCEEDED if all_are_live else RunState.SKIPPED)


def test_a_parked_job_is_not_published_again_before_the_nodes_have_told_what_they_ran(
    make_fleet: MakeFleet,
) -> None:
    fleet = two(make_fleet)
    job = fleet.submit(schedule="1 13 1 3 *", requires=SSD)
    fleet.until(TICK - timedelta(seconds=1))
    fleet.loops.pop("beta's reporter")
    fleet.go(4)
    assert fleet.starts() == [RUN]
    fleet.stop("beta")
    fleet.drain("beta")
    fleet.go(15)
    assert fleet.job(job).assigned_node is None
    fleet.lose_tree()
    fleet.label("alpha", **SSD)
    fleet.go(20)
    assert fleet.claims() == {}
    fleet.work("beta")
    fleet.loops.pop("beta's reporter")
    fleet.go(15)
    assert fleet.claim(job)[0] == "alpha"
    assert fleet.starts() == [RUN]
    assert states(fleet) == {RUN: RunState.CLAIMED}
