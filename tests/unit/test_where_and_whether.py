"""Jobs that may be on one node only, and jobs that are not to run for now."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints
from support.samples import new_job

from cronkeeper.common.errors import Conflict
from cronkeeper.common.model import Concurrency
from cronkeeper.common.store import jobs as store_jobs
from cronkeeper.manager.intake import SCAN_PAGE

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning."""
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"


def test_a_job_that_names_its_node_is_on_that_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    jobs = [fleet.submit(schedule=SOON, node="beta") for _ in range(3)]
    fleet.go(3)
    assert {fleet.claim(job)[0] for job in jobs} == {"beta"}


def test_a_job_whose_node_is_away_waits_for_it_and_says_so(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.add("beta")
    fleet.go(20)
    job = fleet.submit(schedule=SOON, node="beta")
    fleet.go(10)
    assert fleet.claims() == {}
    assert fleet.job(job).placement == "node beta, where alone it may run, is not live"


def test_a_job_stays_on_its_dead_node_while_others_move_and_runs_when_it_is_back(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    bound = fleet.submit(schedule=SOON, node="alpha")
    free = [fleet.submit(schedule="0 0 1 1 *") for _ in range(3)]
    fleet.go(3)
    fleet.power_off("alpha")
    fleet.until(TICK + timedelta(seconds=20))
    assert fleet.claim(bound)[0] == "alpha"
    assert {fleet.claim(job)[0] for job in free} == {"beta"}
    assert fleet.starts() == []
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_new_leader_knows_which_jobs_are_bound(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=SOON, node="alpha")
    fleet.go(3)
    fleet.stop("first")
    fleet.lead("second")
    fleet.go(20)
    fleet.power_off("alpha")
    fleet.go(40)
    assert fleet.claim(job)[0] == "alpha"


def test_nothing_is_due_of_a_job_that_is_not_enabled_and_by_hand_it_runs(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=SOON, enabled=False)
    fleet.until(TICK + timedelta(seconds=90))
    assert fleet.starts() == []
    run = fleet.request(job)
    fleet.go(3)
    assert fleet.starts() == [run.id]


def test_ticks_that_fall_into_a_pause_never_run_and_those_after_it_do(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule="* * * * *")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(job, enabled=False)
    fleet.until(TICK + timedelta(seconds=190))
    fleet.change(job, enabled=True)
    fleet.until(TICK + timedelta(seconds=260))
    assert fleet.starts() == [RUN, "1.1.20260301T120500Z.1"]
    assert set(fleet.runs()) == set(fleet.starts())


def test_a_run_goes_on_while_its_job_is_changed_and_forbid_still_knows_of_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 100
    job = fleet.submit(schedule="* * * * *")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(job, command="echo other")
    fleet.until(TICK + timedelta(seconds=70))
    assert fleet.runs()["1.1.20260301T120200Z.1"].reason == "still_running"
    fleet.machines["alpha"].run_seconds = 5
    fleet.until(TICK + timedelta(seconds=150))
    assert fleet.starts() == [RUN, "1.1.20260301T120300Z.1"]
    assert complaints(fleet) == []


def test_the_end_of_a_run_of_an_earlier_instant_does_not_end_a_one_shot(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 30
    job = fleet.submit(schedule="@once", at=TICK)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, at=TICK + timedelta(seconds=120))
    fleet.until(TICK + timedelta(seconds=60))
    assert fleet.job(job).ended_at is None
    fleet.until(TICK + timedelta(seconds=200))
    assert fleet.starts() == [RUN, "1.1.20260301T120300Z.1"]
    assert fleet.job(job).status == "finished"


def test_a_one_shot_that_was_paused_past_its_instant_needs_another_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule="@once", at=TICK)
    fleet.change(job, enabled=False)
    fleet.until(TICK + timedelta(seconds=60))
    with pytest.raises(Conflict, match="give it another `at`"):
        fleet.change(job, enabled=True)
    fleet.change(job, enabled=True, at=fleet.time.now + timedelta(seconds=30))
    fleet.go(60)
    assert len(fleet.starts()) == 1


@pytest.mark.parametrize("change", [{"timezone": "Europe/Paris"}, {"enabled": False}])
def test_a_one_shot_that_is_changed_while_it_runs_runs_no_second_time_and_ends(
    make_fleet: MakeFleet, change: dict[str, Any]
) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 60
    job = fleet.submit(schedule="@once", concurrency=Concurrency.ALLOW)
    fleet.go(5)
    fleet.change(job, **change)
    fleet.go(5)
    fleet.change(job, enabled=True)
    fleet.go(200)
    assert len(fleet.starts()) == 1
    assert fleet.job(job).status == "finished"
    assert fleet.claims() == {}


def test_a_run_that_died_with_the_only_node_of_its_job_is_given_up_and_its_late_truth_taken(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 20
    job = fleet.submit(schedule=SOON, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("alpha")
    fleet.go(200)
    assert fleet.runs()[RUN].state == "lost"
    assert fleet.job(job).status == "error"
    fleet.work("alpha")
    fleet.go(60)
    assert fleet.starts() == [RUN]


def test_jobs_that_wait_for_their_node_hold_up_no_others(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    waiting = new_job(schedule="0 0 1 1 *", node="gamma")
    fleet.store.transaction(
        lambda conn: [store_jobs.insert(conn, waiting, "ann", fleet.time.now) for _ in range(SCAN_PAGE)]
    )
    job = fleet.store.transaction(
        lambda conn: store_jobs.insert(conn, new_job(schedule="0 0 1 1 *"), "ann", fleet.time.now)
    )
    fleet.go(60)
    assert fleet.claim(job)[0] == "alpha"
