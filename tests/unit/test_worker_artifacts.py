"""A run that waits for its file waits no longer than its tick may be late, and not past a pause of its job."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.failing import FIRST, SECOND, TICK, YEARLY, states
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import Artifact, Concurrency, Job, JobType, Retry, RunState

SCRIPT = Artifact("ab" * 32, "job.sh", 3)
OF_FILE: dict[str, Any] = {"type": JobType.SCRIPT, "command": None, "artifact": SCRIPT}


def waiting(fleet: Fleet, **policies: object) -> Job:
    """A job whose run is claimed and waits for its file."""
    job = fleet.submit(**{"schedule": YEARLY, **OF_FILE, **policies})
    fleet.until(TICK + timedelta(seconds=6))
    return job


def fetch(fleet: Fleet) -> None:
    fleet.files.here[SCRIPT.sha256] = Path("/job.sh")
    fleet.go(10)


@pytest.mark.parametrize("restarted", [False, True])
def test_its_run_fails_once_the_tick_is_too_late(fleet: Fleet, restarted: bool) -> None:
    waiting(fleet, max_lateness=60.0)
    if restarted:
        fleet.restart("alpha")
    fleet.until(TICK + timedelta(seconds=59))
    assert states(fleet) != {FIRST: RunState.FAILED}
    fleet.until(TICK + timedelta(seconds=62))
    fetch(fleet)
    (run,) = fleet.runs().values()
    assert run.state is RunState.FAILED
    assert run.reason == "artifact unavailable: job.sh could not be fetched in time"
    assert fleet.starts() == []
    assert complaints(fleet) == []


def test_it_is_waited_for_as_long_as_a_tick_is_on_time_whatever_the_job_says(fleet: Fleet) -> None:
    waiting(fleet, max_lateness=1.0)
    fleet.until(TICK + timedelta(seconds=29))
    fetch(fleet)
    assert fleet.starts() == [FIRST]


def test_a_further_attempt_has_as_long_from_its_own_claim(fleet: Fleet) -> None:
    waiting(fleet, max_lateness=60.0, retry=Retry(attempts=1, delay=5.0))
    fleet.until(TICK + timedelta(seconds=110))
    assert states(fleet)[FIRST] is RunState.FAILED
    fetch(fleet)
    assert fleet.starts() == [SECOND]


@pytest.mark.parametrize("once", [True, False])
def test_a_one_shot_and_a_run_by_hand_wait_on(fleet: Fleet, once: bool) -> None:
    schedule, at = ("@once", TICK) if once else (None, None)
    job = waiting(fleet, schedule=schedule, at=at, max_lateness=40.0)
    if not once:
        fleet.request(job)
    fleet.go(300)
    fetch(fleet)
    assert len(fleet.starts()) == 1
    assert complaints(fleet) == []


def test_what_waited_begins_in_the_order_in_which_it_was_claimed(fleet: Fleet) -> None:
    """By the names of the runs the tick would be the first, and the run by hand begin beside it."""
    job = fleet.submit(schedule=YEARLY, concurrency=Concurrency.ALLOW, **OF_FILE)
    by_hand = fleet.request(job)
    fleet.until(TICK + timedelta(seconds=6))
    fetch(fleet)
    assert fleet.machines["alpha"].starts == [by_hand.id, FIRST]
    assert complaints(fleet) == []


def test_a_pause_calls_it_off(fleet: Fleet) -> None:
    job = waiting(fleet)
    fleet.change(fleet.job(job), enabled=False)
    fleet.go(2)
    (run,) = fleet.runs().values()
    assert run.state is RunState.CANCELED
    assert run.reason == "the job was paused before its file came"
    fleet.change(fleet.job(job), enabled=True)
    fetch(fleet)
    assert fleet.starts() == []
    assert complaints(fleet) == []


def test_a_run_by_hand_of_a_paused_job_waits_on(fleet: Fleet) -> None:
    job = waiting(fleet, schedule=None)
    fleet.request(job)
    fleet.go(5)
    fleet.change(fleet.job(job), enabled=False)
    fleet.go(5)
    fetch(fleet)
    assert len(fleet.starts()) == 1


def test_what_has_begun_goes_on_when_its_job_is_paused(fleet: Fleet) -> None:
    fleet.files.here[SCRIPT.sha256] = Path("/job.sh")
    fleet.machines["alpha"].run_seconds = 30.0
    job = waiting(fleet)
    del fleet.files.here[SCRIPT.sha256]
    fleet.change(fleet.job(job), enabled=False)
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.SUCCEEDED}


def test_those_that_waited_for_it_begin_in_the_order_in_which_they_were_claimed(fleet: Fleet) -> None:
    of_file = {"type": JobType.SCRIPT, "command": None, "artifact": SCRIPT}
    job = fleet.submit(schedule=YEARLY, concurrency=Concurrency.ALLOW, **of_file)
    fleet.go(3)
    by_hand = fleet.request(job)
    fleet.go(3)
    fleet.change(fleet.job(job), max_lateness=600.0)
    fleet.until(TICK + timedelta(seconds=6))
    fetch(fleet)
    assert fleet.machines["alpha"].starts == [by_hand.id, FIRST]


@pytest.mark.parametrize("done", [True, False])
def test_a_run_by_hand_is_canceled_where_its_job_is_over_before_the_file_comes(
    fleet: Fleet, done: bool
) -> None:
    of_file = {"type": JobType.SCRIPT, "command": None, "artifact": SCRIPT}
    once = {"schedule": "@once", "at": TICK}
    job = fleet.submit(**of_file, **(once if done else {"schedule": None}))
    fleet.go(3)
    by_hand = fleet.request(job)
    fleet.go(3)
    if not done:
        fleet.remove(job)
    fleet.until(TICK + timedelta(seconds=10))
    fetch(fleet)
    assert fleet.starts() == []
    assert states(fleet)[by_hand.id] is RunState.CANCELED
    assert fleet.runs()[by_hand.id].reason == "the job was over before the run began"
    assert complaints(fleet) == []
