"""Nothing begins on a paused node or in a paused fleet, and no resumption makes up for the past."""

from datetime import datetime, timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, THIRD, TICK, MakeFleet, look
from support.promise import AT_ONCE, complaints

from cronkeeper.common.ledger import Result, Window
from cronkeeper.common.model import (
    CatchUp,
    Concurrency,
    Job,
    Retry,
    RunState,
    SkipReason,
)
from cronkeeper.manager import ledger

MINUTE = timedelta(minutes=1)


def at(minutes: float, seconds: float = 0) -> datetime:
    """So long after the first tick."""
    return TICK + timedelta(minutes=minutes, seconds=seconds)


def results(fleet: Fleet, job: Job) -> list[tuple[str, str | None]]:
    """What the ledger says of each tick up to now: the result, and why."""
    window = Window(begin=BEGIN, end=fleet.time.now, now=fleet.time.now)
    found = ledger.of_job(fleet.desk, job.id, window, AT_ONCE)
    return [(str(each.result), each.reason) for each in found.ticks]


def skips(fleet: Fleet) -> list[tuple[datetime | None, datetime | None, str]]:
    """Of every row of skipped ticks the first, the last, and the first word of why."""
    told = [run for run in fleet.runs().values() if run.state is RunState.SKIPPED and run.tick is not None]
    return sorted((run.first_tick or run.tick, run.tick, (run.reason or "").split(":")[0]) for run in told)


PAUSED = (str(Result.SKIPPED), str(SkipReason.PAUSED))
RAN = (str(Result.RAN), None)
LATE = (str(Result.LATE), None)


@pytest.mark.parametrize("whom", ["alpha", None])
def test_what_falls_due_in_a_pause_is_skipped_and_what_runs_goes_on(
    make_fleet: MakeFleet, whom: str | None
) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 30
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 10))
    fleet.pause(whom)
    fleet.until(at(5, 30))
    assert fleet.starts() == [RUN]
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    fleet.resume(whom)
    fleet.until(at(7, 50))
    assert results(fleet, job) == [RAN, *[PAUSED] * 5, RAN, RAN]
    assert fleet.job(job).assigned_node == "alpha"
    assert complaints(fleet) == []


def test_a_long_pause_of_a_frequent_job_is_a_few_entries_and_the_first_is_there_at_once(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.until(at(1, 40))
    assert results(fleet, job)[1:] == [PAUSED]
    fleet.until(at(39, 30))
    fleet.resume("alpha")
    fleet.until(at(40, 40))
    assert results(fleet, job) == [RAN, *[PAUSED] * 39, RAN]
    assert len(skips(fleet)) <= 9
    assert complaints(fleet) == []


def test_ticks_of_seconds_are_few_entries_too(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 1
    job = fleet.submit(schedule="*/10 * * * * *")
    fleet.until(at(0, 3))
    fleet.pause("alpha")
    fleet.until(at(15, 3))
    fleet.resume("alpha")
    fleet.until(at(15, 38))
    told = results(fleet, job)
    assert (told[0], told[-3:], set(told)) == (RAN, [RAN] * 3, {RAN, PAUSED})
    assert len(told) > 90
    assert len(skips(fleet)) <= 12


def test_a_tick_of_the_very_instant_of_a_resumption_begins_and_the_one_before_does_not(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(3)
    fleet.pause("alpha")
    fleet.until(at(2))
    fleet.resume("alpha")
    look(fleet)
    assert fleet.starts() == [THIRD]
    assert results(fleet, job) == [PAUSED, PAUSED, LATE]


def test_a_resumption_that_is_heard_of_late_loses_none_of_the_ticks_since(make_fleet: MakeFleet) -> None:
    """No manager is there for a while: what was due after the resumption begins, and nothing from before."""
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 1
    fleet.pause("alpha")
    fleet.go(21)
    job = fleet.submit(schedule="*/5 * * * * *", catch_up=CatchUp.ALL)
    fleet.until(at(0, 30))
    fleet.stop("first")
    fleet.go(4)
    fleet.resume("alpha")
    fleet.go(20)
    assert fleet.starts() == []
    fleet.lead("second")
    fleet.go(43)
    assert min(fleet.starts()) == f"{job.id}.1.20260301T120135Z.1"
    told = results(fleet, job)
    # Due from 12:00:55 on, when the job came, and resumed at 12:01:34.
    assert (told[:8], set(told[8:])) == ([PAUSED] * 8, {LATE, RAN})
    assert len(told) == 8 + 13


def test_a_tick_between_a_resumption_and_the_word_of_it_is_not_taken_for_one_of_the_pause(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.pause("alpha")
    fleet.until(at(0, -5))
    fleet.stop("first")
    fleet.resume("alpha")
    fleet.until(at(0, 2))
    fleet.restart("alpha")  # it looks at all its jobs
    fleet.until(at(0, 5))
    fleet.lead("second")
    fleet.until(at(0, 20))
    assert fleet.starts() == [RUN]


def test_a_pause_that_is_heard_of_late_takes_what_is_due_then(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 30))
    fleet.stop("first")
    fleet.pause("alpha")
    fleet.until(at(1, 30))
    assert fleet.starts() == [RUN, SECOND]
    fleet.lead("second")
    fleet.until(at(2, 30))
    assert fleet.starts() == [RUN, SECOND]
    assert skips(fleet) == [(at(2), at(2), "paused")]


def test_ticks_that_wait_for_a_place_when_the_pause_begins_are_skipped(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].max_running = 1
    fleet.restart("alpha")
    fleet.machines["alpha"].run_seconds = 40
    jobs = [fleet.submit(schedule="1 * * * *") for _ in range(2)]
    fleet.until(at(0, 20))
    assert len(fleet.starts()) == 1
    fleet.pause("alpha")
    fleet.until(at(2))
    fleet.resume("alpha")
    fleet.until(at(3))
    assert sorted([*results(fleet, jobs[0]), *results(fleet, jobs[1])]) == [RAN, PAUSED]
    assert complaints(fleet) == []


def test_a_run_by_hand_waits_for_the_resumption(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=NEVER)
    fleet.go(3)
    early = fleet.request(job)
    fleet.go(5)
    fleet.pause("alpha")
    fleet.go(6)
    run = fleet.request(job)
    fleet.go(300)
    assert fleet.starts() == [early.id]
    assert fleet.runs()[run.id].state is RunState.QUEUED
    fleet.resume("alpha")
    look(fleet)
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_attempts_wait_for_the_resumption_and_are_not_called_off(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].exit_code = 1
    fleet.submit(schedule="1 * * * *", retry=Retry(attempts=1, delay=20.0))
    fleet.until(at(0, 10))
    fleet.pause("alpha")
    fleet.until(at(3))
    assert fleet.starts() == [RUN]
    fleet.machines["alpha"].exit_code = 0
    fleet.resume("alpha")
    fleet.until(at(4))
    again = RUN[:-1] + "2"
    assert fleet.starts() == [RUN, again]
    assert fleet.runs()[again].state is RunState.SUCCEEDED
    assert fleet.runs()[RUN].state is RunState.FAILED
    assert complaints(fleet) == []


@pytest.mark.parametrize("policy", [{"concurrency": Concurrency.REPLACE}, {"catch_up": CatchUp.ALL}])
def test_no_policy_makes_up_for_a_pause_nor_ends_what_runs(
    make_fleet: MakeFleet, policy: dict[str, object]
) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 150
    job = fleet.submit(schedule=EACH_MINUTE, **policy)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.until(at(3, 30))
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    fleet.machines["alpha"].run_seconds = 1
    fleet.resume("alpha")
    fleet.until(at(5, 30))
    assert results(fleet, job) == [RAN, PAUSED, PAUSED, PAUSED, RAN, RAN]


def test_a_one_shot_that_falls_due_in_a_pause_is_skipped_and_may_be_given_another_instant(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule="@once", at=at(1))
    fleet.go(3)
    fleet.pause("alpha")
    fleet.until(at(2))
    fleet.resume("alpha")
    fleet.until(at(3))
    assert (fleet.starts(), results(fleet, job)) == ([], [PAUSED])
    assert "was due once, at 2026-03-01T12:02:00Z, while its node was paused" in caplog.text
    assert fleet.job(job).ended_at is None
    fleet.change(job, at=at(5))
    fleet.until(at(6))
    assert fleet.starts() == [THIRD[:-6] + "600Z.1"] or len(fleet.starts()) == 1
    assert fleet.job(job).ended_at is not None


def test_what_is_sent_to_run_at_once_waits_for_the_resumption(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.pause()
    fleet.go(6)
    job = fleet.submit(schedule="@once")
    fleet.go(120)
    assert fleet.starts() == []
    fleet.resume()
    look(fleet)
    assert len(fleet.starts()) == 1
    assert fleet.job(job).ended_at is not None
    assert complaints(fleet) == []


def test_a_worker_that_is_started_again_in_a_pause_begins_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(at(0, 30))
    fleet.pause("alpha")
    fleet.until(at(1, 30))
    fleet.stop("alpha")
    fleet.until(at(2, 30))
    fleet.work("alpha")
    fleet.until(at(3, 30))
    assert fleet.starts() == [RUN]
    fleet.stop("alpha")
    fleet.resume("alpha")
    fleet.until(at(4, 30))
    fleet.work("alpha")
    fleet.until(at(5, 30))
    assert fleet.starts() == [RUN, *(f"1.1.20260301T120{minute}00Z.1" for minute in (5, 6))]
    assert results(fleet, job)[:4] == [RAN, PAUSED, PAUSED, PAUSED]
    assert complaints(fleet) == []
