"""Whoever holds the lock leads, with the newest epoch."""

from collections.abc import Callable

import pytest
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData
from cronkeeper.common.store import leader

MakeFleet = Callable[..., Fleet]


def begin_an_epoch(fleet: Fleet, *, in_tree: bool) -> None:
    """As a candidate does that was paused when it had won, and has lost its session meanwhile."""
    fleet.store.transaction(lambda connection: leader.take(connection, 1, 2, "second"))
    if in_tree:
        fleet.desk.tree.commit([SetData(paths.EPOCH, b"2", fleet.desk.tree.get(paths.EPOCH).version)])


@pytest.mark.parametrize("in_tree", [True, False])
def test_a_leader_whose_epoch_is_over_and_who_holds_the_lock_begins_a_new_one(
    make_fleet: MakeFleet, in_tree: bool
) -> None:
    fleet = make_fleet("alpha")
    begin_an_epoch(fleet, in_tree=in_tree)
    job = fleet.submit(schedule="1 * * * *")
    fleet.go(3)
    ((_, name),) = fleet.claims()
    assert (name.job_id, name.gen.epoch) == (job.id, 3)
    fleet.request(job)
    fleet.go(20)
    assert len(fleet.starts()) == 1
    assert complaints(fleet) == []


@pytest.mark.parametrize("made", range(len(paths.skeleton())))
def test_a_manager_that_died_while_it_made_the_first_folders_leaves_a_tree_that_the_next_one_completes(
    make_fleet: MakeFleet, made: int
) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule="* * * * *")
    fleet.go(3)
    fleet.lose_tree()
    for folder in paths.skeleton()[:made]:
        fleet.desk.tree.ensure(folder)
    fleet.go(130)
    assert len(fleet.starts()) == 2
    assert complaints(fleet) == []
