"""ZooKeeper is lost, or put back to an earlier day: all jobs are published again, and no tick runs twice."""

from collections import Counter
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import RUN_LEASE, SESSION, Fleet
from support.labelled import EACH_MINUTE, RUN, SECOND, THIRD, MakeFleet
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import RunState

TICK = BEGIN + timedelta(seconds=30)


def states(fleet: Fleet) -> dict[str, RunState]:
    return {run_id: run.state for run_id, run in sorted(fleet.runs().items())}


def doubled(fleet: Fleet) -> list[str]:
    return [run_id for run_id, count in Counter(fleet.starts()).items() if count > 1]


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("reports", [True, False])
def test_jobs_are_published_again_and_what_their_nodes_ran_does_not_run_again(
    make_fleet: MakeFleet, back: bool, reports: bool
) -> None:
    fleet = make_fleet("alpha", "beta")
    for _ in range(4):
        fleet.submit(schedule=EACH_MINUTE)
    fleet.go(2)
    before = fleet.copy_tree()
    silent = () if reports else ("alpha's reporter", "beta's reporter")
    held = {name: fleet.loops.pop(name) for name in silent}
    fleet.until(TICK + timedelta(seconds=50))
    assert len(fleet.starts()) == 4
    fleet.lose_tree(before if back else None)
    fleet.go(30)
    assert len(fleet.claims()) == 4
    fleet.loops |= held
    fleet.until(TICK + timedelta(seconds=130))
    assert doubled(fleet) == []
    assert set(states(fleet).values()) == {RunState.SUCCEEDED}
    assert len(fleet.starts()) == 12
    assert complaints(fleet) == []


def test_a_run_that_goes_on_meanwhile_is_known_again_and_no_other_one_starts_beside_it(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 100.0
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.lose_tree()
    fleet.until(TICK + timedelta(seconds=70))
    assert states(fleet) == {RUN: RunState.RUNNING, SECOND: RunState.SKIPPED}
    fleet.machines["alpha"].run_seconds = 1.0
    fleet.until(TICK + timedelta(seconds=130))
    assert states(fleet)[RUN] is RunState.SUCCEEDED
    assert states(fleet)[THIRD] is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_a_daemon_that_was_started_again_in_an_older_tree_claims_nothing_in_it(fleet: Fleet) -> None:
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(2)
    before = fleet.copy_tree()
    fleet.until(TICK + timedelta(seconds=50))
    assert fleet.starts() == [RUN]
    fleet.stop("first")
    fleet.lose_tree(before)
    fleet.restart("alpha")
    fleet.go(9)
    assert fleet.starts() == [RUN]
    fleet.lead("first")
    fleet.until(TICK + timedelta(seconds=70))
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_where_its_node_is_gone_too_what_may_have_run_is_skipped_and_said_to_be_unknown(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(2)
    node, _ = fleet.claim(job)
    fleet.loops.pop(f"{node}'s reporter")
    fleet.until(TICK + timedelta(seconds=20))
    fleet.power_off(node)
    fleet.lose_tree()
    fleet.go(RUN_LEASE - 10)
    assert fleet.claims() == {}
    fleet.go(10 + SESSION + 15)
    assert fleet.runs()[SECOND].state is RunState.SKIPPED
    assert str(fleet.runs()[SECOND].reason).startswith("unvouched: the ticks from 2026-03-01T12:01:00Z")
    fleet.until(TICK + timedelta(seconds=130))
    assert fleet.runs()[THIRD].state is RunState.SUCCEEDED
    assert doubled(fleet) == []


@pytest.mark.parametrize("after", [0.1, 1.0, 3.0])
def test_a_leader_that_dies_meanwhile_is_followed_by_one_that_goes_on(fleet: Fleet, after: float) -> None:
    for _ in range(3):
        fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=20))
    fleet.lose_tree()
    fleet.go(after)
    fleet.restart("first")
    fleet.until(TICK + timedelta(seconds=70))
    assert len(fleet.starts()) == 6
    assert doubled(fleet) == []
    assert complaints(fleet) == []


def test_a_leader_that_finds_its_tree_as_it_was_publishes_nothing_again(fleet: Fleet) -> None:
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(5)
    before = fleet.claims()
    fleet.restart("first")
    fleet.go(10)
    assert fleet.claims() == before


def test_whoever_watches_the_tree_is_woken_by_its_loss(fleet: Fleet) -> None:
    """As by kazoo, which fires all watches when the state of their session changes."""
    woken: list[str] = []
    fleet.desk.tree.watch_children(paths.LIVE, lambda: woken.append(paths.LIVE))
    fleet.lose_tree()
    assert woken == [paths.LIVE]
