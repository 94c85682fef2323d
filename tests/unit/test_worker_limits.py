"""Timeouts and runs side by side in a fleet: what becomes of them in the end is known everywhere."""

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import Concurrency, Job, JobStatus, RunState, StartedBy
from cronkeeper.worker.timeouts import AT_ONCE

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"
SECOND = "1.1.20260301T120200Z.1"


def running(fleet: Fleet, **policies: object) -> Job:
    """A job whose run has just begun; it would go on for two minutes."""
    fleet.machines["alpha"].run_seconds = 120.0
    job = fleet.submit(schedule=SOON, **{"timeout": 20.0, **policies})
    fleet.until(TICK + timedelta(seconds=1))
    return job


def test_a_run_is_ended_the_moment_its_timeout_is_over(fleet: Fleet) -> None:
    job = running(fleet)
    fleet.until(TICK + timedelta(seconds=19.9))
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.go(0.5)
    run = fleet.runs()[RUN]
    assert (run.state, run.exit_code) == (RunState.TIMED_OUT, 143)
    assert run.reason == "ended after its timeout of 20 s"
    assert run.started_at is not None
    assert run.ended_at is not None
    assert (run.ended_at - run.started_at).total_seconds() == pytest.approx(20.0, abs=0.1)
    assert fleet.job(job).status is JobStatus.ERROR
    fleet.go(10)
    assert fleet.machines["alpha"].signals == [(RUN, signal.SIGTERM)]
    assert complaints(fleet) == []


def test_a_run_that_goes_on_after_its_grace_is_killed(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    running(fleet, grace=7.0)
    fleet.until(TICK + timedelta(seconds=26.9))
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.go(5)
    run = fleet.runs()[RUN]
    assert (run.state, run.exit_code) == (RunState.TIMED_OUT, 137)
    assert run.reason == "ended after its timeout of 20 s; killed 7 s later"
    assert fleet.machines["alpha"].signals == [(RUN, signal.SIGTERM), (RUN, signal.SIGKILL)]
    assert complaints(fleet) == []


def test_a_daemon_that_comes_back_after_the_timeout_ends_the_run_then(fleet: Fleet) -> None:
    running(fleet)
    session = fleet.daemons["alpha"].tree.session()
    fleet.stop("alpha")
    fleet.until(TICK + timedelta(seconds=40))
    assert fleet.machines["alpha"].signals == []
    fleet.work("alpha", (session.id, session.password))
    fleet.go(5)
    assert fleet.runs()[RUN].state is RunState.TIMED_OUT
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


@pytest.mark.parametrize("away", [1.0, 15.0])
def test_a_daemon_that_comes_back_in_the_grace_or_after_it_kills_and_tells_no_second_time(
    fleet: Fleet, away: float
) -> None:
    fleet.machines["alpha"].stubborn = True
    running(fleet)
    fleet.until(TICK + timedelta(seconds=25))
    session = fleet.daemons["alpha"].tree.session()
    fleet.stop("alpha")
    fleet.go(away)
    fleet.work("alpha", (session.id, session.password))
    fleet.go(20)
    run = fleet.runs()[RUN]
    assert run.state is RunState.TIMED_OUT
    assert str(run.reason).startswith("ended after its timeout of 20 s; killed ")
    assert fleet.machines["alpha"].signals == [(RUN, signal.SIGTERM), (RUN, signal.SIGKILL)]
    assert complaints(fleet) == []


def test_a_timeout_is_kept_while_the_tree_is_away(fleet: Fleet) -> None:
    running(fleet)
    tree = fleet.daemons["alpha"].tree
    tree.disconnect()
    fleet.until(TICK + timedelta(seconds=21))
    assert fleet.machines["alpha"].signals == [(RUN, signal.SIGTERM)]
    tree.reconnect()
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.TIMED_OUT
    assert complaints(fleet) == []


def test_a_run_whose_node_was_restarted_is_lost_and_not_timed_out(fleet: Fleet) -> None:
    fleet.machines["alpha"].stubborn = True
    running(fleet)
    fleet.until(TICK + timedelta(seconds=25))
    fleet.power_off("alpha")
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert complaints(fleet) == []


def test_where_a_job_allows_it_a_tick_runs_beside_the_last_one(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 70
    job = fleet.submit(schedule="1,2 * * * *", concurrency=Concurrency.ALLOW)
    fleet.until(TICK + timedelta(seconds=65))
    assert fleet.starts() == [RUN, SECOND]
    assert [fleet.runs()[run_id].state for run_id in (RUN, SECOND)] == [RunState.RUNNING] * 2
    assert len(fleet.claim(job)[1].unfinished) == 2
    fleet.go(100)
    assert {run.state for run in fleet.runs().values()} == {RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_runs_side_by_side_are_adopted_and_ended_each_in_its_time(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 300
    fleet.submit(schedule="1,2 * * * *", concurrency=Concurrency.ALLOW, timeout=90.0)
    fleet.until(TICK + timedelta(seconds=70))
    fleet.restart("alpha")
    fleet.until(TICK + timedelta(seconds=95))
    assert [fleet.runs()[run_id].state for run_id in (RUN, SECOND)] == [RunState.TIMED_OUT, RunState.RUNNING]
    fleet.go(70)
    assert fleet.runs()[SECOND].state is RunState.TIMED_OUT
    assert fleet.runs()[SECOND].started_by is StartedBy.CLOCK
    assert complaints(fleet) == []


def test_an_allowed_run_that_failed_over_goes_on_beside_those_of_its_next_node(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = fleet.machines["beta"].run_seconds = 30
    job = fleet.submit(schedule="1,2 * * * *", concurrency=Concurrency.ALLOW)
    fleet.until(TICK + timedelta(seconds=1))
    first, _ = fleet.claim(job)
    fleet.stop(first)
    fleet.until(TICK + timedelta(seconds=61))
    assert fleet.starts() == [RUN, SECOND]
    assert fleet.runs()[SECOND].node not in (first, None)


def test_many_timeouts_of_the_same_moment_are_all_kept(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 120.0
    for _ in range(3 * AT_ONCE + 1):
        fleet.submit(schedule=SOON, timeout=20.0)
    fleet.until(TICK + timedelta(seconds=22))
    assert {run.state for run in fleet.runs().values()} == {RunState.TIMED_OUT}
    assert len(fleet.machines["alpha"].signals) == 3 * AT_ONCE + 1
