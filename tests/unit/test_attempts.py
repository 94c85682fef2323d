"""Attempts that follow others: a failed run is tried again, and one that was lost runs again if the job says so."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.failing import FIRST, RUN, SECOND, THIRD, TICK, YEARLY, failing, states
from support.fleet import RUN_LEASE, SESSION, Fleet
from support.labelled import EACH_MINUTE, MakeFleet
from support.promise import complaints
from support.samples import spec

from cronkeeper.common.attempts import MAX_RERUNS, follows, next_attempt
from cronkeeper.common.model import (
    Concurrency,
    JobStatus,
    OnNodeLoss,
    Outcome,
    Retry,
    RunState,
    StartedBy,
    Unfinished,
)


def begun(fleet: Fleet, run_id: str) -> float:
    """How many seconds after the tick the run began."""
    started = fleet.runs()[run_id].started_at
    assert started is not None
    return (started - TICK).total_seconds()


def test_a_run_that_fails_is_tried_again_as_often_as_the_job_says_and_ever_later(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(60)
    assert states(fleet) == dict.fromkeys((FIRST, SECOND, THIRD), RunState.FAILED)
    assert [round(begun(fleet, each)) for each in (FIRST, SECOND, THIRD)] == [0, 11, 32]
    assert {run.started_by for run in fleet.runs().values() if run.attempt > 1} == {StartedBy.RETRY}
    assert complaints(fleet) == []


def test_a_run_by_hand_is_tried_again_too(fleet: Fleet) -> None:
    failing(fleet, schedule=None)
    run = fleet.request(fleet.job_of(1))
    fleet.go(13)
    first, second = (fleet.runs()[f"{run.id.rpartition('.')[0]}.{number}"] for number in (1, 2))
    assert (first.state, second.state, second.tick) == (RunState.FAILED, RunState.FAILED, None)


def test_once_an_attempt_succeeds_none_follows_and_the_job_is_well_again(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(5)
    assert fleet.job_of(1).status is JobStatus.ERROR
    fleet.machines["alpha"].exit_code = 0
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.SUCCEEDED}
    assert fleet.job_of(1).status is JobStatus.SCHEDULED


def test_a_one_shot_is_not_done_while_an_attempt_is_to_follow(fleet: Fleet) -> None:
    failing(fleet, schedule="@once", at=TICK)
    fleet.go(8)
    assert fleet.job_of(1).ended_at is None
    fleet.machines["alpha"].exit_code = 0
    fleet.go(20)
    assert fleet.job_of(1).status is JobStatus.FINISHED


def test_while_an_attempt_waits_a_tick_is_skipped_where_only_one_may_go_on(fleet: Fleet) -> None:
    failing(fleet, schedule=EACH_MINUTE, retry=Retry(attempts=1, delay=90.0))
    fleet.go(62)
    assert states(fleet)["1.1.20260301T120200Z.1"] is RunState.SKIPPED
    fleet.go(40)
    assert states(fleet)[SECOND] is RunState.FAILED


def test_the_next_tick_takes_the_place_of_an_attempt_that_waits_where_the_job_says_replace(
    fleet: Fleet,
) -> None:
    failing(
        fleet,
        schedule="1,2 13 1 3 *",
        retry=Retry(attempts=1, delay=300.0),
        concurrency=Concurrency.REPLACE,
    )
    fleet.go(62)
    assert states(fleet)[SECOND] is RunState.CANCELED
    assert states(fleet)["1.1.20260301T120200Z.1"] is RunState.FAILED


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("at", [0.5, 1.0, 1.5, 2.5, 6.0, 10.9, 11.0, 11.5])
def test_a_daemon_that_crashes_meanwhile_loses_no_attempt_and_makes_none_twice(
    fleet: Fleet, at: float, api: bool
) -> None:
    failing(fleet)
    if not api:
        reporter = fleet.loops.pop("alpha's reporter")
    fleet.go(at)
    fleet.restart("alpha")
    if not api:
        new = fleet.loops.pop("alpha's reporter")
        fleet.go(50)
        assert reporter is not new
        fleet.loops["alpha's reporter"] = new
    fleet.go(60)
    assert states(fleet) == dict.fromkeys((FIRST, SECOND, THIRD), RunState.FAILED)
    assert fleet.starts() == [FIRST, SECOND, THIRD]
    assert complaints(fleet) == []


def test_an_attempt_that_waits_moves_with_its_job_when_the_node_dies(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    failing(fleet, retry=Retry(attempts=1, delay=30.0))
    fleet.go(5)
    (node, claim) = fleet.claim(fleet.job_of(1))
    assert [run.waits for run in claim.unfinished] == [True]
    other = {"alpha": "beta", "beta": "alpha"}[node]
    fleet.power_off(node)
    fleet.go(40)
    assert fleet.machines[other].starts == [SECOND]
    assert complaints(fleet) == []


def test_an_attempt_that_waits_does_not_hold_its_job_on_a_node_that_it_is_to_leave(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    failing(fleet, retry=Retry(attempts=1, delay=60.0), node="alpha")
    fleet.go(5)
    fleet.change(fleet.job_of(1), node="beta")
    fleet.go(10)
    assert fleet.claim(fleet.job_of(1))[0] == "beta"
    fleet.go(60)
    assert fleet.machines["beta"].starts == [SECOND]


def test_a_job_that_is_paused_is_tried_no_more(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(5)
    fleet.change(fleet.job_of(1), enabled=False)
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.CANCELED}
    assert fleet.runs()[SECOND].reason == "the job was paused"
    assert complaints(fleet) == []


def test_a_job_that_is_removed_is_tried_no_more(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(5)
    fleet.remove(fleet.job_of(1))
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.CANCELED}
    assert fleet.runs()[SECOND].reason == "the job was removed"


def lost(make_fleet: MakeFleet, **policies: object) -> tuple[Fleet, str]:
    """A fleet of two in which the node that runs the job's tick has just lost its power; and the other node."""
    fleet = make_fleet("alpha", "beta")
    for machine in fleet.machines.values():
        machine.run_seconds = 20.0
    fleet.submit(**{"schedule": YEARLY, "on_node_loss": OnNodeLoss.RERUN, **policies})
    fleet.until(TICK + timedelta(seconds=5))
    node, _ = fleet.claim(fleet.job_of(1))
    fleet.power_off(node)
    return fleet, {"alpha": "beta", "beta": "alpha"}[node]


def test_a_run_that_is_lost_with_its_node_runs_again_elsewhere_once_the_lease_is_over(
    make_fleet: MakeFleet,
) -> None:
    fleet, other = lost(make_fleet)
    fleet.go(SESSION + RUN_LEASE - 2)
    assert fleet.machines[other].starts == []
    fleet.go(10)
    assert fleet.machines[other].starts == [SECOND]
    fleet.go(30)
    assert states(fleet) == {FIRST: RunState.LOST, SECOND: RunState.SUCCEEDED}
    assert fleet.runs()[SECOND].started_by is StartedBy.RERUN
    assert fleet.job_of(1).status is JobStatus.SCHEDULED
    assert complaints(fleet) == []


def test_it_stays_lost_where_the_job_does_not_say_so(make_fleet: MakeFleet) -> None:
    fleet, other = lost(make_fleet, on_node_loss=OnNodeLoss.FAIL)
    fleet.go(SESSION + RUN_LEASE + 30)
    assert fleet.machines[other].starts == []
    assert states(fleet) == {FIRST: RunState.LOST}


@pytest.mark.parametrize("after", [1.0, 20.0])
def test_after_a_reboot_it_runs_again_at_once(make_fleet: MakeFleet, after: float) -> None:
    fleet, other = lost(make_fleet)
    gone = {"alpha": "beta", "beta": "alpha"}[other]
    fleet.go(after)
    fleet.work(gone)
    fleet.go(12)
    assert [run for run in fleet.starts() if run == SECOND] == [SECOND]
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.LOST, SECOND: RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_a_one_shot_that_was_lost_is_not_done_before_it_ran_again(make_fleet: MakeFleet) -> None:
    fleet, _ = lost(make_fleet, schedule="@once", at=TICK)
    fleet.go(SESSION + RUN_LEASE + 5)
    assert fleet.job_of(1).ended_at is None
    fleet.go(30)
    assert fleet.job_of(1).status is JobStatus.FINISHED


def test_an_attempt_after_a_lost_node_takes_none_of_the_retries(make_fleet: MakeFleet) -> None:
    fleet, _ = lost(make_fleet, schedule="@once", at=TICK, retry=Retry(attempts=1, delay=1.0))
    for machine in fleet.machines.values():
        machine.exit_code = 7
    fleet.go(SESSION + RUN_LEASE + 60)
    assert states(fleet) == {FIRST: RunState.LOST, SECOND: RunState.FAILED, THIRD: RunState.FAILED}
    assert fleet.runs()[THIRD].started_by is StartedBy.RETRY
    assert fleet.job_of(1).status is JobStatus.ERROR


def test_a_run_that_fails_once_its_job_is_paused_is_tried_no_more(fleet: Fleet) -> None:
    """What would wait then would do so for ever."""
    failing(fleet)
    fleet.change(fleet.job_of(1), enabled=False)
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED}
    assert complaints(fleet) == []


def test_an_attempt_follows_a_run_whose_job_waits_to_leave_its_node(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    for machine in fleet.machines.values():
        machine.run_seconds, machine.exit_code = 20.0, 7
    job = fleet.submit(schedule=YEARLY, retry=Retry(attempts=1, delay=1.0))
    fleet.until(TICK + timedelta(seconds=5))
    node, _ = fleet.claim(job)
    fleet.change(fleet.job_of(job.id), node="alpha" if node == "beta" else "beta")
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.FAILED}
    assert fleet.runs()[SECOND].node != node


def test_a_job_that_its_nodes_die_of_is_not_run_again_for_ever() -> None:
    job = spec(on_node_loss=OnNodeLoss.RERUN)
    assert [follows(job, lost + 1, RunState.LOST, lost) for lost in range(MAX_RERUNS + 1)] == [
        *[StartedBy.RERUN] * MAX_RERUNS,
        None,
    ]


@given(
    attempts=st.integers(0, 20),
    delay=st.floats(0, 86_400),
    backoff=st.floats(1, 10),
    jitter=st.floats(0, 3600),
)
def test_the_attempts_of_a_run_are_as_many_as_the_job_says_and_none_comes_before_its_delay(
    attempts: int, delay: float, backoff: float, jitter: float
) -> None:
    job = spec(retry=Retry(attempts=attempts, delay=delay, backoff=backoff, jitter=jitter))
    run: Unfinished | None = Unfinished(
        run_id=FIRST, tick=TICK, attempt=1, node="a", boot_id="b", started_by=StartedBy.CRON
    )
    end = Outcome(state=RunState.FAILED, exit_code=1, reason=None, started_at=None, ended_at=TICK)
    seen: list[Unfinished] = []
    while run is not None:
        seen.append(run)
        run = next_attempt(job, replace(run, not_before=None), end)
    assert [each.run_id for each in seen] == [f"{RUN}.{number}" for number in range(1, attempts + 2)]
    for each in seen[1:]:
        assert each.waits
        assert each.not_before is not None
        wait = (each.not_before - TICK).total_seconds()
        assert min(delay, 86_400) - 0.001 <= wait <= 86_400 + jitter + 0.001
