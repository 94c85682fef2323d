"""A node with few places: so many runs go on at once and no more, and what waits starts when one has ended."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import Artifact, CatchUp, Concurrency, JobType, RunState, StartedBy

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
NEVER = "0 0 1 1 *"
TICK = BEGIN + timedelta(seconds=30)
SCRIPT = Artifact("ab" * 32, "job.sh", 3)


def crowded(fleet: Fleet, places: int, seconds: float = 20.0) -> Fleet:
    """The node has so few places from now on, and its commands last so long."""
    fleet.machines["alpha"].max_running = places
    fleet.machines["alpha"].run_seconds = seconds
    fleet.restart("alpha")
    fleet.go(1)
    return fleet


def most_at_once(fleet: Fleet) -> int:
    """How many runs have gone on at the same moment, by when they began and ended."""
    spans = [(run.started_at, run.ended_at) for run in fleet.runs().values() if run.started_at is not None]
    return max(sum(begin <= moment < (end or fleet.time.now) for begin, end in spans) for moment, _ in spans)


def test_no_more_run_at_once_than_there_are_places_and_all_run_in_turn(fleet: Fleet) -> None:
    crowded(fleet, 2)
    for _ in range(6):
        fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=1))
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    assert (len(fleet.starts()), worker.running, worker.waiting) == (2, 2, 4)
    assert sum(len(claim.unfinished) for claim in fleet.claims().values()) == 2
    fleet.go(58)
    assert len(fleet.starts()) == 6
    assert most_at_once(fleet) == 2
    fleet.go(30)
    assert {run.state for run in fleet.runs().values()} == {RunState.SUCCEEDED}
    assert (worker.running, worker.waiting) == (0, 0)
    assert complaints(fleet) == []


def test_while_all_places_are_taken_the_worker_does_not_ask_again_and_again(fleet: Fleet) -> None:
    crowded(fleet, 1, 3000)
    for _ in range(3):
        fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=10))
    turns = []
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    step = fleet.loops["alpha"].step
    fleet.loops["alpha"].step = lambda now: (turns.append(now), step(now))[1]
    fleet.go(100)
    assert len(turns) <= 60, "the lease alone takes one in two seconds"


def test_a_tick_that_waits_for_a_place_runs_late_by_the_usual_rules(fleet: Fleet) -> None:
    crowded(fleet, 1, 150)
    fleet.submit(schedule=SOON)
    fleet.submit(schedule="* * * * *")
    fleet.until(TICK + timedelta(seconds=145))
    fleet.machines["alpha"].run_seconds = 1
    fleet.go(8)
    reasons = {run.id: run.reason for run in fleet.runs().values() if run.state is RunState.SKIPPED}
    assert reasons == {f"2.1.20260301T120{n}00Z.1": "coalesced" for n in (1, 2)}
    assert "2.1.20260301T120300Z.1" in fleet.starts()
    fleet.go(10)
    assert complaints(fleet) == []


def test_a_tick_that_has_waited_until_it_is_too_late_is_skipped_as_that(fleet: Fleet) -> None:
    crowded(fleet, 1, 200)
    fleet.submit(schedule=SOON)
    fleet.submit(schedule=SOON, max_lateness=60.0)
    fleet.until(TICK + timedelta(seconds=210))
    assert fleet.runs()["2.1.20260301T120100Z.1"].reason == "too_late"
    assert complaints(fleet) == []


def test_a_run_by_hand_waits_in_the_inbox_and_starts_in_its_turn(fleet: Fleet) -> None:
    crowded(fleet, 1, 40)
    for _ in range(2):
        fleet.submit(schedule=SOON)
    job = fleet.submit(schedule=NEVER)
    fleet.until(TICK + timedelta(seconds=1))
    run = fleet.request(job)
    late = fleet.submit(schedule="@once")
    fleet.go(5)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    assert fleet.runs()[run.id].state is RunState.QUEUED
    fleet.go(200)
    ends = {one.id: one.started_at for one in fleet.runs().values()}
    order = sorted(ends, key=lambda run_id: ends[run_id] or BEGIN)
    assert [run_id.split(".")[0] for run_id in order] == ["1", "2", str(job.id), str(late.id)]
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_a_run_that_waits_for_its_artifact_takes_a_place(fleet: Fleet) -> None:
    crowded(fleet, 1, 5)
    fleet.submit(schedule=SOON, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=10))
    assert fleet.starts() == []
    fleet.files.here[SCRIPT.sha256] = fleet.machines["alpha"].home
    fleet.go(15)
    assert len(fleet.starts()) == 2
    assert complaints(fleet) == []


def test_runs_that_were_adopted_take_places_even_more_than_there_are(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 30
    for schedule in (SOON, SOON, SOON, "2 * * * *"):
        fleet.submit(schedule=schedule)
    fleet.until(TICK + timedelta(seconds=1))
    crowded(fleet, 1, 30)
    late = fleet.request(fleet.submit(schedule=NEVER))
    fleet.go(5)
    assert len(fleet.starts()) == 3
    fleet.until(TICK + timedelta(seconds=40))
    assert late.id in fleet.starts()
    fleet.until(TICK + timedelta(seconds=130))
    assert {run.state for run in fleet.runs().values()} == {RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_what_waits_on_a_node_that_dies_runs_on_another_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    for machine in fleet.machines.values():
        machine.max_running, machine.run_seconds = 1, 30
    fleet.restart("alpha")
    fleet.restart("beta")
    fleet.go(1)
    for _ in range(4):
        fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=1))
    assert len(fleet.starts()) == 2
    fleet.power_off("alpha")
    fleet.go(170)
    assert len(set(fleet.starts())) == len(fleet.starts()) == 4
    assert [run.state for run in fleet.runs().values()].count(RunState.LOST) == 1


def test_after_an_outage_all_that_was_missed_runs_one_after_the_other_oldest_first(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 70
    fleet.submit(schedule="* * * * *", catch_up=CatchUp.ALL)
    fleet.until(TICK - timedelta(seconds=5))
    fleet.stop("alpha")
    fleet.until(TICK + timedelta(seconds=255))
    fleet.machines["alpha"].run_seconds = 3
    fleet.work("alpha")
    fleet.go(40)
    assert fleet.machines["alpha"].starts == [f"1.1.20260301T120{n}00Z.1" for n in range(1, 6)]
    assert most_at_once(fleet) == 1
    started_by = {run.started_by for run in fleet.runs().values()}
    assert started_by == {StartedBy.ADOPTION, StartedBy.CLOCK}
    assert complaints(fleet) == []


def test_runs_that_last_longer_than_their_schedule_wait_for_each_other_and_none_is_skipped(
    fleet: Fleet,
) -> None:
    fleet.machines["alpha"].run_seconds = 100
    fleet.submit(schedule="1,2,3 * * * *", catch_up=CatchUp.ALL)
    fleet.until(TICK + timedelta(seconds=310))
    assert fleet.machines["alpha"].starts == [f"1.1.20260301T120{n}00Z.1" for n in range(1, 4)]
    assert {run.state for run in fleet.runs().values()} == {RunState.SUCCEEDED}
    assert most_at_once(fleet) == 1
    assert complaints(fleet) == []


@pytest.mark.parametrize("places", [2, 1000])
def test_caught_up_side_by_side_as_many_go_on_as_there_are_places(fleet: Fleet, places: int) -> None:
    crowded(fleet, places, 30)
    fleet.submit(schedule="* * * * *", catch_up=CatchUp.ALL, concurrency=Concurrency.ALLOW)
    fleet.until(TICK - timedelta(seconds=5))
    fleet.stop("alpha")
    fleet.until(TICK + timedelta(seconds=245))
    fleet.work("alpha")
    fleet.until(TICK + timedelta(seconds=247))
    assert len(fleet.starts()) == min(places, 5)
    fleet.until(TICK + timedelta(seconds=358))
    assert fleet.machines["alpha"].starts == [f"1.1.20260301T120{n}00Z.1" for n in range(1, 7)]
    assert most_at_once(fleet) == min(places, 5)


def test_a_tick_that_waits_for_a_run_of_a_dead_node_starts_once_that_is_given_up(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    for machine in fleet.machines.values():
        machine.run_seconds = 500
    job = fleet.submit(schedule="1,2 * * * *", catch_up=CatchUp.ALL)
    fleet.until(TICK + timedelta(seconds=1))
    first, _ = fleet.claim(job)
    fleet.power_off(first)
    fleet.until(TICK + timedelta(seconds=62))
    assert len(fleet.starts()) == 1
    fleet.go(45)
    assert fleet.starts() == [f"1.1.20260301T120{n}00Z.1" for n in (1, 2)]
    assert fleet.runs()["1.1.20260301T120100Z.1"].state is RunState.LOST
