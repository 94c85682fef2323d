"""Copies whose node is forgotten, whose leader or tree is lost, and what is told of each."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.everywhere import MINUTE, everywhere, named, there
from support.fakes import Trouble
from support.fleet import Fleet
from support.labelled import NEVER, TICK, MakeFleet, look
from support.promise import AT_ONCE, DAY, complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Conflict, Invalid
from cronkeeper.common.ledger import Result, Window
from cronkeeper.common.model import Job, JobStatus, RunState
from cronkeeper.common.store.schema import run as run_rows
from cronkeeper.manager import jobs, ledger
from cronkeeper.manager.auditor import Auditor


def told(fleet: Fleet, job: Job, node: str | None = None) -> list[tuple[int, int, Result, str | None]]:
    """Of each tick its copy, its minute after twelve, what became of it and why."""
    now = fleet.time.now
    found = ledger.of_job(fleet.desk, job.id, Window(begin=now - DAY, end=now, now=now), AT_ONCE, node)
    return [(entry.copy, entry.tick.minute, entry.result, entry.reason) for entry in found.ticks]


def test_a_copy_ends_with_its_forgotten_node_and_the_ledger_says_why(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 1000
    job = everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.power_off("alpha")
    fleet.until(TICK + MINUTE + timedelta(seconds=10))
    fleet.forget("alpha")
    look(fleet)
    assert there(fleet) == {"beta": [3]}
    assert fleet.desk.tree.children(paths.NODES) == ["beta"]
    assert fleet.runs()[named(2, 1)].state is RunState.LOST
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert [each for each in told(fleet, job) if each[0] == 2] == [
        (2, 1, Result.LOST, "node alpha was forgotten"),
        (2, 2, Result.SKIPPED, "removed"),
    ]
    assert [each.until is None for each in jobs.copies_of(fleet.desk, job.id)] == [False, True]
    assert complaints(fleet) == []


def test_a_node_that_was_forgotten_and_comes_again_has_another_copy(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    fleet.add("alpha")
    fleet.work("alpha")
    look(fleet)
    assert there(fleet) == {"alpha": [4], "beta": [3]}
    fleet.until(TICK + MINUTE + timedelta(seconds=10))
    assert fleet.machines["alpha"].starts == [named(2, 1), named(4, 2)]
    assert complaints(fleet) == []


def test_the_parked_copy_of_a_forgotten_node_ends_too(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet, schedule=NEVER)
    fleet.drain("alpha")
    look(fleet)
    fleet.stop("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    look(fleet)
    assert fleet.desk.tree.children(paths.PARKED) == []
    assert complaints(fleet) == []


def test_a_run_by_hand_names_its_node(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = everywhere(fleet, schedule=NEVER)
    run = fleet.request(job, "beta")
    fleet.go(5)
    assert (run.copy, fleet.machines["beta"].starts) == (3, [run.id])
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    with pytest.raises(Invalid):
        fleet.request(job)
    with pytest.raises(Conflict, match="node gamma has no copy of job 1"):
        fleet.request(job, "gamma")
    single = fleet.submit(schedule=NEVER)
    with pytest.raises(Invalid):
        fleet.request(single, "beta")
    fleet.go(5)
    assert complaints(fleet) == []


def test_a_run_by_hand_that_waited_for_a_node_is_canceled_when_that_is_forgotten(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = everywhere(fleet, schedule=NEVER)
    fleet.stop("alpha")
    fleet.go(10)
    run = fleet.request(job, "alpha")
    fleet.go(5)
    assert fleet.runs()[run.id].state is RunState.QUEUED
    fleet.forget("alpha")
    look(fleet)
    seen = fleet.runs()[run.id]
    assert (seen.state, seen.reason) == (RunState.CANCELED, "the job ended on this node before the run began")
    assert complaints(fleet) == []


def test_a_job_is_in_error_while_the_newest_run_of_any_copy_is_bad(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = everywhere(fleet)
    fleet.machines["alpha"].exit_code = 1
    fleet.machines["beta"].run_seconds = 20
    fleet.until(TICK + timedelta(seconds=40))
    assert fleet.job(job).status is JobStatus.ERROR
    fleet.machines["alpha"].exit_code = 0
    fleet.until(TICK + MINUTE + timedelta(seconds=10))
    assert fleet.job(job).status is JobStatus.SCHEDULED
    fleet.machines["alpha"].exit_code = 1
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert fleet.job(job).status is JobStatus.ERROR
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    look(fleet)
    assert fleet.job(job).status is JobStatus.SCHEDULED


@pytest.mark.parametrize("call", range(1, 30))
def test_a_leader_that_changes_at_any_call_makes_each_copy_once(make_fleet: MakeFleet, call: int) -> None:
    fleet = make_fleet("alpha", "beta", "gamma")
    trouble = Trouble()
    fleet.restart("first")
    fleet.trouble["leader"] = trouble
    fleet.stop("first")
    fleet.go(10)
    fleet.lead("first")
    fleet.go(3)
    job = fleet.submit(schedule="* * * * *", copies=Copies.ALL)
    trouble.at(call, fleet.take_over)
    fleet.go(20)
    fleet.change(job, timeout=50.0)
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert sorted(there(fleet).values()) == [[2], [3], [4]]
    assert complaints(fleet) == []
