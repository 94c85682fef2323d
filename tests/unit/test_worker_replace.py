"""`concurrency: replace`: the run that goes on is ended, and then the tick runs, never both at once."""

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import Artifact, Concurrency, Job, JobStatus, JobType, RunState

MakeFleet = Callable[..., Fleet]

TICK = BEGIN + timedelta(seconds=30)
FIRST, SECOND, THIRD = (f"1.1.20260301T120{number}00Z.1" for number in (1, 2, 3))
REPLACED = "replaced by the tick of 2026-03-01T12:02:00Z"
SCRIPT = Artifact("ab" * 32, "job.sh", 3)


def replacing(fleet: Fleet, **policies: object) -> Job:
    """A job whose first run would go on for long, just before its second tick."""
    for machine in fleet.machines.values():
        machine.run_seconds = 300.0
    job = fleet.submit(**{"schedule": "1,2 * * * *", "concurrency": Concurrency.REPLACE, **policies})
    fleet.until(TICK + timedelta(seconds=59))
    return job


def test_a_run_is_ended_for_the_next_tick_which_runs_when_it_has_gone(fleet: Fleet) -> None:
    job = replacing(fleet)
    fleet.go(2)
    run = fleet.runs()[FIRST]
    assert (run.state, run.exit_code, run.reason) == (RunState.CANCELED, 143, REPLACED)
    assert fleet.starts() == [FIRST, SECOND]
    assert fleet.machines["alpha"].signals == [(FIRST, signal.SIGTERM)]
    assert fleet.runs()[SECOND].state is RunState.RUNNING
    assert fleet.job(job).status is JobStatus.SCHEDULED
    fleet.go(310)
    assert complaints(fleet) == []


def test_one_that_goes_on_after_its_grace_is_killed_and_until_then_nothing_starts(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    replacing(fleet, grace=7.0)
    fleet.go(7)
    assert fleet.starts() == [FIRST]
    fleet.go(3)
    assert fleet.starts() == [FIRST, SECOND]
    assert fleet.runs()[FIRST].reason == f"{REPLACED}; killed 7 s later"
    assert fleet.runs()[FIRST].state is RunState.CANCELED


@pytest.mark.parametrize("at", [0.5, 3.0, 8.0])
def test_an_order_to_end_outlives_the_daemon(fleet: Fleet, at: float) -> None:
    fleet.machines["alpha"].stubborn = True
    replacing(fleet, grace=5.0)
    fleet.go(1 + at)
    fleet.restart("alpha")
    fleet.go(15)
    assert fleet.machines["alpha"].signals == [(FIRST, signal.SIGTERM), (FIRST, signal.SIGKILL)]
    assert fleet.starts() == [FIRST, SECOND]
    assert fleet.runs()[FIRST].reason == f"{REPLACED}; killed 5 s later"


def test_a_run_that_ends_by_itself_after_it_was_told_to_is_canceled_all_the_same(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    replacing(fleet, grace=20.0)
    fleet.go(5)
    process = fleet.machines["alpha"].running[FIRST]
    process.ends_at = fleet.time.seconds
    fleet.go(5)
    assert (fleet.runs()[FIRST].state, fleet.runs()[FIRST].exit_code) == (RunState.CANCELED, 0)
    assert fleet.starts() == [FIRST, SECOND]


def test_of_the_ticks_that_gather_meanwhile_the_newest_runs(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    replacing(fleet, schedule="1,2,3 * * * *", grace=30.0)
    fleet.stop("alpha")
    fleet.until(TICK + timedelta(seconds=122))
    fleet.work("alpha")
    fleet.go(40)
    assert fleet.starts() == [FIRST, THIRD]
    assert fleet.runs()[SECOND].reason == "coalesced"


def test_a_run_by_hand_replaces_nothing_and_is_itself_replaced(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 300.0
    job = fleet.submit(schedule="2 * * * *", concurrency=Concurrency.REPLACE)
    fleet.go(2)
    by_hand = fleet.request(job)
    fleet.go(2)
    second = fleet.request(job)
    fleet.go(2)
    assert fleet.runs()[second.id].state is RunState.SKIPPED
    fleet.until(TICK + timedelta(seconds=62))
    assert (fleet.runs()[by_hand.id].state, fleet.runs()[by_hand.id].reason) == (RunState.CANCELED, REPLACED)
    assert fleet.runs()[SECOND].state is RunState.RUNNING


def test_a_run_that_has_not_begun_is_never_started(fleet: Fleet) -> None:
    job = replacing(fleet, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    assert [run.run_id for run in fleet.claim(job)[1].unfinished] == [FIRST]
    fleet.go(3)
    assert (fleet.runs()[FIRST].state, fleet.runs()[FIRST].reason) == (RunState.CANCELED, REPLACED)
    fleet.files.here[SCRIPT.sha256] = fleet.machines["alpha"].home
    fleet.go(5)
    assert fleet.starts() == [SECOND]
    fleet.go(310)
    assert complaints(fleet) == []


def test_a_job_that_replaces_only_since_an_edit_ends_what_began_before(fleet: Fleet) -> None:
    job = replacing(fleet, concurrency=Concurrency.FORBID)
    fleet.change(job, concurrency=Concurrency.REPLACE)
    fleet.go(3)
    assert fleet.runs()[FIRST].reason == REPLACED
    assert fleet.starts() == [FIRST, SECOND]


def test_a_timeout_that_came_first_stays_one(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    replacing(fleet, timeout=58.0, grace=20.0)
    fleet.go(40)
    assert fleet.runs()[FIRST].state is RunState.TIMED_OUT
    assert fleet.starts() == [FIRST, SECOND]


def test_a_run_on_a_dead_node_is_waited_for_and_then_the_tick_runs(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = replacing(fleet)
    fleet.power_off(fleet.claim(job)[0])
    fleet.go(45)
    assert fleet.starts() == [FIRST]
    fleet.go(60)
    assert fleet.starts() == [FIRST, SECOND]
    assert fleet.runs()[FIRST].state is RunState.LOST


def test_while_the_lease_is_over_nothing_is_ended(fleet: Fleet) -> None:
    replacing(fleet)
    fleet.daemons["alpha"].tree.disconnect()
    fleet.go(20)
    assert fleet.machines["alpha"].signals == []
    fleet.daemons["alpha"].tree.reconnect()
    fleet.go(10)
    assert fleet.starts() == [FIRST, SECOND]
