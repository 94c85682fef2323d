"""A node whose worker goes on as a newer version: its boot has a longer name then, and nothing was rebooted."""

from datetime import timedelta

from support.fakes import BEGIN
from support.fleet import SESSION, Fleet
from support.labelled import EACH_MINUTE, MakeFleet
from support.promise import complaints

from cronkeeper.common.clock import same_boot
from cronkeeper.common.model import RunState

TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"
OLD, NEW = "boot-1", "boot-1.fe01-4c2b1"


def running(make_fleet: MakeFleet) -> Fleet:
    """Two nodes of an older version, of which the first has just begun a run of 40 s."""
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 40.0
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=1))
    assert fleet.machines["alpha"].starts == [RUN]
    return fleet


def test_a_mark_without_its_home_is_of_every_home_in_that_boot() -> None:
    assert same_boot(OLD, NEW)
    assert same_boot(NEW, OLD)
    assert same_boot(NEW, NEW)
    assert not same_boot(NEW, f"{OLD}.fe01-5")
    assert not same_boot(NEW, "boot-2")
    assert not same_boot("boot-2.fe01-4c2b1", NEW)


def test_a_worker_that_is_upgraded_adopts_the_runs_that_go_on(make_fleet: MakeFleet) -> None:
    fleet = running(make_fleet)
    fleet.machines["alpha"].boot_id = NEW
    fleet.restart("alpha")
    fleet.go(20)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.until(TICK + timedelta(seconds=50))
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    fleet.until(TICK + timedelta(seconds=110))
    assert [run.state for run in fleet.runs().values()] == [RunState.SUCCEEDED] * 2
    assert complaints(fleet) == []


def test_runs_of_a_node_that_was_away_for_its_upgrade_are_not_given_up_where_its_jobs_went(
    make_fleet: MakeFleet,
) -> None:
    fleet = running(make_fleet)
    fleet.stop("alpha")
    fleet.go(SESSION + 5)
    assert [node for node, _ in fleet.claims()] == ["beta"]
    fleet.machines["alpha"].boot_id = NEW
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.until(TICK + timedelta(seconds=50))
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    fleet.go(30)
    assert complaints(fleet) == []
