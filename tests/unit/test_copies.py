"""Jobs with a copy on each node: each runs its own ticks, and what befalls one is no business of the others."""

from datetime import timedelta
from pathlib import Path

from support.everywhere import MINUTE, everywhere, named, there
from support.labelled import NEVER, SSD, TICK, MakeFleet, look, two
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import OnNodeLoss, RunState


def test_each_node_runs_every_tick(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta", "gamma")
    job = everywhere(fleet)
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    assert fleet.machines["alpha"].starts == [named(2, 1), named(2, 2)]
    assert fleet.machines["beta"].starts == [named(3, 1), named(3, 2)]
    assert fleet.machines["gamma"].starts == [named(4, 1), named(4, 2)]
    assert {run.node for run in fleet.runs().values() if run.copy == 3} == {"beta"}
    now = fleet.job(job)
    assert (now.assigned_node, now.placement, now.published_rev) == (None, None, 1)
    assert complaints(fleet) == []


def test_ticks_from_before_a_node_came_are_none_of_its_own(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.stop("beta")
    fleet.go(10)
    everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=20))
    fleet.work("beta")
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    assert fleet.machines["beta"].starts == [named(3, 2)]
    assert fleet.machines["alpha"].starts == [named(2, 1), named(2, 2)]
    assert complaints(fleet) == []


def test_a_node_that_is_added_gets_its_copy(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = make_fleet("alpha")
    job = everywhere(fleet, schedule=NEVER)
    fleet.machines["zeta"] = fleet._machine("zeta", tmp_path / "zeta")
    fleet.add("zeta")
    fleet.work("zeta")
    look(fleet)
    assert there(fleet) == {"alpha": [2], "zeta": [3]}
    assert fleet.job(job).published_rev == 1
    assert complaints(fleet) == []


def test_a_copy_waits_for_its_dead_node_and_no_other_gets_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet)
    single = fleet.submit(schedule=NEVER)
    fleet.go(2)
    fleet.stop("alpha")
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    assert fleet.machines["alpha"].starts == []
    assert fleet.machines["beta"].starts == [named(3, 1), named(3, 2)]
    assert there(fleet) == {"alpha": [2], "beta": [3, single.id - 1]}
    fleet.work("alpha")
    fleet.go(30)
    assert fleet.machines["alpha"].starts == [named(2, 2)]
    assert fleet.runs()[named(2, 1)].reason == "coalesced"
    assert complaints(fleet) == []


def test_an_edit_meets_all_copies_also_that_of_a_dead_node_and_keeps_no_one_busy(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta", "gamma")
    job = everywhere(fleet)
    fleet.stop("alpha")
    fleet.go(10)
    fleet.change(job, schedule="2 * * * *")
    fleet.go(3)
    assert fleet.job(job).published_rev == 2
    fleet.until(TICK + timedelta(seconds=30))
    fleet.work("alpha")
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    assert fleet.starts() == [named(2, 2), named(3, 2), named(4, 2)]
    assert complaints(fleet) == []


def test_a_pause_a_resumption_and_a_removal_concern_all(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = everywhere(fleet)
    fleet.change(job, enabled=False)
    fleet.until(TICK + timedelta(seconds=20))
    assert fleet.starts() == []
    fleet.change(job, enabled=True)
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    assert fleet.starts() == [named(2, 2), named(3, 2)]
    fleet.remove(job)
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=20))
    assert fleet.starts() == [named(2, 2), named(3, 2)]
    assert there(fleet) == {}
    assert fleet.job(job).published_rev == fleet.job(job).rev
    assert complaints(fleet) == []


def test_only_nodes_with_the_labels_have_a_copy_and_one_that_loses_them_keeps_its_watermark(
    make_fleet: MakeFleet,
) -> None:
    fleet = two(make_fleet)
    everywhere(fleet, requires=SSD)
    assert there(fleet) == {"beta": [3]}
    fleet.until(TICK + timedelta(seconds=10))
    fleet.label("beta")
    look(fleet)
    assert (there(fleet), fleet.desk.tree.children(paths.PARKED)) == ({}, ["1.3"])
    fleet.label("alpha", **SSD)
    look(fleet)
    assert (there(fleet), fleet.desk.tree.children(paths.PARKED)) == ({"alpha": [2]}, ["1.3"])
    fleet.until(TICK + MINUTE + timedelta(seconds=40))
    fleet.label("beta", **SSD)
    look(fleet)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    assert fleet.machines["alpha"].starts[0] == named(2, 2)
    assert fleet.machines["beta"].starts[0] == named(3, 1)
    assert {named(3, 2), named(3, 3)} <= fleet.runs().keys()
    assert complaints(fleet) == []


def test_a_job_that_no_node_may_have_says_so_until_one_may(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = everywhere(fleet, requires=SSD)
    assert fleet.job(job).placement == "no live node has the label disk=ssd"
    fleet.label("alpha", **SSD)
    look(fleet)
    assert (fleet.job(job).placement, there(fleet)) == (None, {"alpha": [2]})


def test_a_drained_node_has_no_copy_once_its_run_has_ended_and_gets_it_back(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 40
    job = everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.drain("alpha")
    look(fleet)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    fleet.go(25)
    assert (there(fleet), fleet.desk.tree.children(paths.PARKED)) == ({"beta": [3]}, ["1.2"])
    fleet.change(job, timeout=30.0)
    fleet.go(3)
    assert fleet.job(job).published_rev == 2
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    fleet.undrain("alpha")
    look(fleet)
    assert fleet.machines["alpha"].starts == [named(2, 1), named(2, 2)]
    assert fleet.runs()[named(2, 1)].state is RunState.SUCCEEDED
    fleet.go(60)
    assert complaints(fleet) == []


def test_a_drained_node_that_dies_leaves_its_copy_parked_with_its_run(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 100
    everywhere(fleet, schedule="1 * * * *", on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.drain("alpha")
    fleet.power_off("alpha")
    fleet.go(80)
    assert (there(fleet), fleet.desk.tree.children(paths.PARKED)) == ({"beta": [3]}, ["1.2"])
    assert fleet.runs()[named(2, 1)].state is RunState.LOST
    fleet.machines["alpha"].run_seconds = 1
    fleet.work("alpha")
    fleet.undrain("alpha")
    look(fleet)
    assert fleet.machines["alpha"].starts[-1] == f"{named(2, 1)[:-1]}2"
    assert complaints(fleet) == []


def test_a_reboot_settles_the_run_of_that_node_and_is_made_up_for_where_the_job_says_so(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 100
    everywhere(fleet, schedule="1 * * * *", on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("alpha")
    fleet.go(70)
    assert fleet.runs()[named(2, 1)].state is RunState.LOST
    fleet.machines["alpha"].run_seconds = 1
    fleet.work("alpha")
    fleet.go(20)
    assert fleet.machines["alpha"].starts == [named(2, 1), f"{named(2, 1)[:-1]}2"]
    assert fleet.machines["beta"].starts == [named(3, 1)]
    assert complaints(fleet) == []
