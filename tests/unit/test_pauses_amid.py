"""Pauses amid other changes: leaders, nodes that die or join, a tree that is lost."""

from datetime import datetime, timedelta

import pytest
from support.fleet import RUN_LEASE, SESSION
from support.labelled import EACH_MINUTE, NEVER, RUN, TICK, MakeFleet, look
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import CatchUp, Copies, LiveNode, OnNodeLoss, RunState, decode, encode
from cronkeeper.common.pauses import Pause, Pauses
from cronkeeper.common.store.nodes import Roll
from cronkeeper.manager.board import Board


def at(minutes: float, seconds: float = 0) -> datetime:
    """So long after the first tick."""
    return TICK + timedelta(minutes=minutes, seconds=seconds)


def test_another_leader_goes_on_with_it_and_ends_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.stop("first")
    fleet.until(at(0, 40))
    fleet.lead("second")
    fleet.until(at(2, 30))
    assert fleet.starts() == [RUN]
    fleet.resume("alpha")
    fleet.stop("second")
    fleet.until(at(2, 40))
    fleet.lead("third")
    fleet.until(at(3, 30))
    assert fleet.starts() == [RUN, "1.1.20260301T120400Z.1"]


def test_the_jobs_of_a_paused_node_that_dies_begin_elsewhere(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.go(3)
    fleet.change(job, node=None)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.until(at(2, 30))
    fleet.power_off("alpha")
    fleet.until(at(4, 30))
    assert fleet.job(job).assigned_node == "beta"
    assert fleet.machines["alpha"].starts == [RUN]
    assert fleet.machines["beta"].starts[-2:] == [f"1.1.20260301T120{minute}00Z.1" for minute in (4, 5)]
    fleet.work("alpha")
    fleet.go(20)
    assert complaints(fleet) == []


def test_in_a_paused_fleet_they_do_not_and_a_lost_run_is_run_again_after_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 1000
    job = fleet.submit(schedule="1 * * * *", node="alpha", on_node_loss=OnNodeLoss.RERUN)
    fleet.go(3)
    fleet.change(job, node=None)
    fleet.until(at(0, 30))
    fleet.pause()
    fleet.go(10)
    fleet.power_off("alpha")
    fleet.go(SESSION + RUN_LEASE + 60)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert (fleet.job(job).assigned_node, fleet.machines["beta"].starts) == ("beta", [])
    fleet.resume()
    look(fleet)
    assert fleet.machines["beta"].starts == [RUN[:-1] + "2"]


def test_a_job_that_comes_after_the_pause_of_its_new_node_keeps_what_waited_elsewhere(
    make_fleet: MakeFleet,
) -> None:
    """beta was paused while the tick fell due on alpha, which had died; the job comes when beta is not any more."""
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule="1 * * * *", node="alpha")
    fleet.go(3)
    fleet.pause("beta")
    fleet.until(at(0, -1))
    fleet.power_off("alpha")
    fleet.until(at(0, 10))
    fleet.resume("beta")
    fleet.until(at(0, 20))
    fleet.change(job, node=None)
    fleet.go(20)
    assert fleet.machines["beta"].starts == [RUN]


def test_an_edit_right_after_the_resumption_lets_no_tick_of_the_pause_begin(make_fleet: MakeFleet) -> None:
    """The job is published anew after the pause, and was there before it."""
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 5))
    fleet.pause("alpha")
    fleet.until(at(4, 30))
    fleet.resume("alpha")
    fleet.time.seconds += 0.02
    fleet.change(job, command="true # edited")
    fleet.go(2)
    fleet.change(job, command="true # edited again")
    fleet.until(at(5, 30))
    assert fleet.starts() == [RUN, "1.1.20260301T120600Z.1"]
    assert complaints(fleet) == []


def test_nor_does_one_that_a_node_finds_when_it_is_back(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, copies=Copies.ALL, catch_up=CatchUp.ALL)
    fleet.until(at(0, 5))
    fleet.pause("alpha")
    fleet.until(at(1, 30))
    fleet.stop("alpha")
    fleet.until(at(3, 30))
    fleet.resume("alpha")
    fleet.go(8)
    fleet.change(job, command="true # edited")
    fleet.until(at(4, 30))
    fleet.work("alpha")
    fleet.until(at(5, 30))
    begun = [run.split(".")[2] for run in fleet.machines["alpha"].starts]
    assert begun == [f"20260301T120{minute}00Z" for minute in (1, 5, 6)]


def test_a_job_that_was_edited_where_it_was_and_comes_after_the_pause_keeps_what_waited_elsewhere(
    make_fleet: MakeFleet,
) -> None:
    """Since when it was on alpha says nothing of beta."""
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule="1 * * * *", node="alpha")
    fleet.go(3)
    fleet.change(job, command="true # edited")
    fleet.go(3)
    fleet.pause("beta")
    fleet.until(at(0, -1))
    fleet.power_off("alpha")
    fleet.until(at(0, 10))
    fleet.resume("beta")
    fleet.until(at(0, 20))
    fleet.change(job, node=None)
    fleet.go(20)
    assert fleet.machines["beta"].starts == [RUN]


def test_a_node_that_joins_a_paused_fleet_gets_no_job_before_it_knows(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.pause()
    fleet.go(3)
    fleet.stop("alpha")
    fleet.machines["beta"] = fleet._machine("beta", fleet.machines["alpha"].home.parent / "beta")
    fleet.add("beta")
    fleet.work("beta")
    fleet.until(at(3, 30))
    assert fleet.job(job).assigned_node == "beta"
    assert fleet.starts() == []
    fleet.resume()
    fleet.until(at(4, 30))
    assert fleet.machines["beta"].starts == ["1.1.20260301T120500Z.1"]


def test_jobs_come_to_a_paused_node_only_where_no_other_takes_them(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.pause("alpha")
    fleet.go(6)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(3)]
    alone = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(130)
    assert [fleet.job(each).assigned_node for each in (*jobs, alone)] == ["beta"] * 3 + ["alpha"]


def test_node_and_fleet_are_paused_and_resumed_each_by_itself(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    for name in ("alpha", "beta"):
        fleet.submit(schedule=EACH_MINUTE, node=name)
    fleet.go(3)
    fleet.pause("alpha")
    fleet.pause()
    fleet.until(at(0, 30))
    assert fleet.starts() == []
    fleet.resume()
    fleet.until(at(1, 30))
    assert (fleet.machines["alpha"].starts, len(fleet.machines["beta"].starts)) == ([], 1)
    fleet.resume("alpha")
    fleet.until(at(2, 30))
    assert (len(fleet.machines["alpha"].starts), len(fleet.machines["beta"].starts)) == (1, 2)


def test_a_tree_that_is_wiped_in_a_pause_is_told_of_it_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.until(at(1, 30))
    fleet.lose_tree()
    fleet.until(at(5, 30))
    assert fleet.starts() == [RUN]
    fleet.resume("alpha")
    fleet.until(at(6, 30))
    assert fleet.starts() == [RUN, "1.1.20260301T120700Z.1"]
    paused = [run for run in fleet.runs().values() if (run.reason or "").startswith("paused")]
    assert paused


@pytest.mark.parametrize("who", ["alpha", None])
@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("heard", [True, False])
def test_what_fell_due_in_a_pause_does_not_begin_where_the_tree_is_lost_before_it_is_told_of(
    make_fleet: MakeFleet, who: str | None, back: bool, heard: bool
) -> None:
    """`heard`: its node was told anew that it is paused, and got the job again, before the pause was over."""
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule="5 * * * *")
    hand = fleet.submit(schedule="@once")
    fleet.pause(who)
    fleet.go(10)
    copy = fleet.copy_tree()
    fleet.until(at(4, 20))
    fleet.lose_tree(copy if back else None)
    if heard:
        fleet.go(1)
    fleet.resume(who)
    fleet.until(at(63))
    told = {run.id: (run.state, run.reason) for run in fleet.runs().values() if run.job_id == job.id}
    assert told == {"1.1.20260301T120500Z.1": (RunState.SKIPPED, "paused")}
    assert [run.job_id for run in fleet.runs().values() if run.state is RunState.SUCCEEDED] == [hand.id]
    fleet.until(at(64, 30))
    assert fleet.starts()[0] == "1.1.20260301T130500Z.1"
    assert complaints(fleet) == []


def test_what_falls_due_after_a_pause_begins_where_the_tree_was_lost_in_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule="5 * * * *")
    fleet.pause()
    fleet.until(at(3, 50))
    fleet.resume()
    fleet.loops["first"].due += 60
    fleet.until(at(4, -1))
    fleet.lose_tree()
    fleet.until(at(6))
    assert fleet.starts() == ["1.1.20260301T120500Z.1"]


def test_up_to_when_nothing_that_fell_due_is_to_begin() -> None:
    assert Pauses().until("alpha", at(9)) is None
    assert Pauses(nodes={"alpha": at(1)}).until("alpha", at(9)) == at(9)
    assert Pauses(nodes={"alpha": at(1)}).until("beta", at(9)) is None
    assert Pauses(resumed={"alpha": at(2)}, fleet_resumed=at(3)).until("alpha", at(9)) == at(3)
    assert Pauses(resumed={"alpha": at(2)}).until(None, at(9)) is None
    assert Pauses(fleet=at(1)).until(None, at(9)) == at(9)


def test_a_tree_put_back_to_the_time_of_a_pause_that_is_over_does_not_bring_it_back(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.pause("alpha")
    fleet.until(at(1, 30))
    copy = fleet.copy_tree()
    fleet.resume("alpha")
    fleet.until(at(4, 30))
    fleet.lose_tree(copy)
    fleet.until(at(8, 30))
    assert fleet.starts()[-1] == "1.1.20260301T120900Z.1"


def test_a_pause_of_which_sql_knows_nothing_ends(make_fleet: MakeFleet) -> None:
    """SQL was put back to a day before it."""
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(3)
    fleet.stop("first")
    path = paths.pause("alpha")
    fleet.desk.tree.commit([Create(path, encode(Pause(since=fleet.time.now)))])
    fleet.lead("second")
    fleet.until(at(0, 30))
    assert decode(fleet.desk.tree.get(path).data, Pause).until is not None
    assert fleet.starts() == [RUN]


def test_a_paused_node_is_given_nothing_until_the_tree_tells_it_so() -> None:
    live = LiveNode(name="alpha", incarnation="1", boot_id="boot", version="1", crond=False)
    board = Board(live={"alpha": live}, nodes={"alpha"})
    board.know_nodes(Roll(frozenset({"alpha"}), frozenset(), Pauses(fleet=TICK)))
    assert board.sites() == {}
    board.told_pauses["alpha"] = Pause(since=TICK, until=TICK)
    assert board.sites() == {}
    board.told_pauses["alpha"] = Pause(since=TICK)
    assert board.sites()["alpha"].paused
