"""Attempts that follow others, where something is in the way: a pause, a move, a full disk, another node."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.failing import FIRST, SECOND, THIRD, TICK, YEARLY, failing, states
from support.fakes import BEGIN, Trouble
from support.fleet import RUN_LEASE, SESSION, Fleet
from support.labelled import MakeFleet
from support.promise import complaints

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Artifact, Concurrency, JobStatus, JobType, OnNodeLoss, Retry, RunState
from cronkeeper.manager import ledger
from cronkeeper.worker.run_folder import NoRoom, Plan, RunFolder


def test_a_run_that_fails_after_its_job_was_paused_is_tried_no_more(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(0.5)
    fleet.change(fleet.job_of(1), enabled=False)
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED}
    assert complaints(fleet) == []


def test_a_run_by_hand_of_a_paused_job_that_fails_is_in_the_way_of_no_other(fleet: Fleet) -> None:
    failing(fleet, enabled=False)
    for _ in range(2):
        run = fleet.request(fleet.job_of(1))
        fleet.go(10)
        assert fleet.runs()[run.id].state is RunState.FAILED
    assert complaints(fleet) == []


def test_an_attempt_of_a_job_that_is_to_leave_its_node_waits_for_the_next_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    failing(fleet, retry=Retry(attempts=1, delay=10.0), node="alpha")
    fleet.machines["alpha"].lasts = lambda _: 20.0
    fleet.restart("alpha")
    fleet.go(0.5)
    fleet.change(fleet.job_of(1), node="beta")
    fleet.go(60)
    assert fleet.machines["beta"].starts == [SECOND]


def full_for(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    """The disk has no room for so many attempts."""
    make: Callable[..., RunFolder] = RunFolder.make

    def full(root: Path, plan: Plan) -> RunFolder:
        if plan.attempt <= attempts:
            raise NoRoom("the disk is full")
        return make(root, plan)

    monkeypatch.setattr(RunFolder, "make", full)


@pytest.mark.parametrize("delay", [0.0, 10.0])
def test_a_run_for_which_the_disk_had_no_room_is_tried_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    full_for(monkeypatch, attempts=2)
    failing(fleet, retry=Retry(attempts=2, delay=delay))
    fleet.go(60)
    assert states(fleet) == dict.fromkeys((FIRST, SECOND, THIRD), RunState.FAILED)
    assert fleet.starts() == [THIRD]
    assert complaints(fleet) == []


def test_a_one_shot_is_done_also_where_the_disk_has_room_for_none_of_its_attempts(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_for(monkeypatch, attempts=3)
    failing(fleet, schedule="@once", at=TICK)
    fleet.go(60)
    assert fleet.job_of(1).status is JobStatus.ERROR
    assert fleet.job_of(1).ended_at is not None


def test_a_tick_and_the_attempt_that_it_replaces_may_come_up_in_the_same_look(fleet: Fleet) -> None:
    failing(
        fleet,
        schedule="1,2 13 1 3 *",
        retry=Retry(attempts=1, delay=30.0),
        concurrency=Concurrency.REPLACE,
    )
    fleet.go(5)
    fleet.stop("alpha")
    fleet.go(60)
    fleet.work("alpha")
    fleet.go(30)
    assert states(fleet)[SECOND] is RunState.CANCELED
    assert fleet.starts() == [FIRST, "1.1.20260301T120200Z.1"]


def test_a_tick_whose_next_attempt_was_called_off_ran_all_the_same(fleet: Fleet) -> None:
    failing(fleet)
    fleet.go(5)
    fleet.change(fleet.job_of(1), enabled=False)
    fleet.go(10)
    now = fleet.time.now
    found = ledger.of_job(fleet.desk, 1, Window(begin=BEGIN, end=now, now=now), Rules())
    assert [(entry.run_id, entry.result) for entry in found.ticks] == [(FIRST, Result.RAN)]


def test_a_one_shot_whose_next_attempt_was_called_off_ended_badly(fleet: Fleet) -> None:
    failing(fleet, schedule="@once", at=TICK)
    fleet.go(5)
    fleet.change(fleet.job_of(1), enabled=False)
    fleet.go(10)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.CANCELED}
    assert fleet.job_of(1).status is JobStatus.ERROR


def test_a_run_that_was_given_up_before_it_began_never_does_though_its_job_comes_back(
    make_fleet: MakeFleet,
) -> None:
    trouble = Trouble()
    fleet = make_fleet("alpha", "beta", trouble={"worker": trouble})
    for machine in fleet.machines.values():
        machine.run_seconds = 300.0
    script = Artifact(sha256="a" * 64, filename="backup", size=1)
    policies = {"on_node_loss": OnNodeLoss.RERUN, "concurrency": Concurrency.ALLOW, "node": "alpha"}
    fleet.submit(schedule=YEARLY, type=JobType.SCRIPT, command=None, artifact=script, **policies)
    fleet.until(TICK + timedelta(seconds=5))  # claimed by alpha, where it waits for its file
    stood_still = fleet.loops.pop("alpha")
    fleet.server.expire(fleet.daemons["alpha"].tree.session().id)
    fleet.change(fleet.job_of(1), node="beta")
    fleet.files.here[script.sha256] = Path("/backup")
    fleet.go(SESSION + RUN_LEASE + 10)
    fleet.change(fleet.job_of(1), node="alpha")
    fleet.go(2)
    unheard: list[str] = []

    def lose_some(call: str, carry_out: Callable[[], Any]) -> Any:
        if call != "children" or len(unheard) >= 8:
            return carry_out()
        unheard.append(call)
        raise Unavailable("the call was lost")

    trouble.always(
        lose_some
    )  # so alpha is live, and has its job back, before it has seen that it had lost it
    stood_still.due = fleet.time.seconds
    fleet.loops["alpha"] = stood_still
    fleet.go(40)
    assert fleet.claim(fleet.job_of(1))[0] == "alpha"
    assert fleet.starts() == [SECOND]
    assert states(fleet) == {FIRST: RunState.LOST, SECOND: RunState.RUNNING}


def test_a_rerun_that_fails_is_tried_again_without_a_wait_for_the_api(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    retry = Retry(attempts=1, delay=0.1)
    failing(fleet, concurrency=Concurrency.FORBID, on_node_loss=OnNodeLoss.RERUN, retry=retry)
    fleet.go(0.5)
    node, _ = fleet.claim(fleet.job_of(1))
    other = "beta" if node == "alpha" else "alpha"
    fleet.power_off(node)
    fleet.loops.pop(f"{other}'s reporter")
    for _ in range(1000):
        if not fleet.machines[other].starts:
            fleet.go(0.1)
    fleet.go(1.5)
    assert fleet.machines[other].starts == [SECOND, THIRD]


@pytest.mark.parametrize("after", [1.0, 20.0])
def test_a_lost_run_begins_again_at_once_though_the_clock_was_hours_ahead_that_tells_so(
    make_fleet: MakeFleet, after: float
) -> None:
    fleet = make_fleet("alpha", "beta")
    for machine in fleet.machines.values():
        machine.run_seconds = 20.0
    job = fleet.submit(schedule=YEARLY, on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=5))
    node, _ = fleet.claim(job)
    fleet.power_off(node)
    fleet.machines[node].wall_offset = 7200.0
    fleet.go(after)
    fleet.work(node)
    fleet.go(10)
    fleet.machines[node].wall_offset = 0.0
    fleet.go(50)
    assert states(fleet) == {FIRST: RunState.LOST, SECOND: RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_a_failed_run_is_tried_again_soon_though_the_clock_was_hours_ahead_that_tells_its_end(
    fleet: Fleet,
) -> None:
    fleet.machines["alpha"].run_seconds = 20.0
    failing(fleet, retry=Retry(attempts=1, delay=10.0))
    fleet.machines["alpha"].wall_offset = 7200.0
    fleet.go(30)
    fleet.machines["alpha"].wall_offset = 0.0
    fleet.go(60)
    assert states(fleet) == {FIRST: RunState.FAILED, SECOND: RunState.FAILED}
    assert complaints(fleet) == []
