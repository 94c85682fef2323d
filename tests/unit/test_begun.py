"""When a run began, and whether it did, is told as it was, also after a reboot and where no wrapper left a mark."""

from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.samples import report

from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Job, Run, RunState, StartedBy
from cronkeeper.common.store.advance import advance
from cronkeeper.manager import ledger

TICK = BEGIN + timedelta(seconds=30)


def told(fleet: Fleet, job: Job) -> list[tuple[Result, float | None]]:
    """The ledger: what became of each tick, and by how much it was late."""
    now = fleet.time.now
    window, rules = Window(begin=BEGIN, end=now, now=now), Rules(patience=timedelta(0))
    return [(each.result, each.lateness) for each in ledger.of_job(fleet.desk, job.id, window, rules).ticks]


@pytest.mark.parametrize(("code", "state"), [(0, RunState.SUCCEEDED), (1, RunState.FAILED)])
def test_an_end_that_is_found_after_a_reboot_began_when_it_did(
    fleet: Fleet, code: int, state: RunState
) -> None:
    job, machine = fleet.submit(), fleet.machines["alpha"]
    machine.run_seconds, machine.exit_code = 3.0, code
    fleet.until(TICK - timedelta(seconds=5))
    del fleet.loops["alpha's reporter"]
    fleet.until(TICK + timedelta(seconds=3.5))
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.work("alpha")
    fleet.go(10)
    (run,) = fleet.runs().values()
    assert (run.state, len(machine.commands)) == (state, 1)
    assert run.started_at == TICK
    assert told(fleet, job) == [(Result.RAN, 0.0)]


def test_a_run_that_its_node_lost_in_a_reboot_began_when_it_did(fleet: Fleet) -> None:
    job = fleet.submit()
    fleet.machines["alpha"].run_seconds = 60.0
    fleet.until(TICK - timedelta(seconds=5))
    del fleet.loops["alpha's reporter"]
    fleet.until(TICK + timedelta(seconds=8))
    fleet.power_off("alpha")
    fleet.work("alpha")
    fleet.go(10)
    assert told(fleet, job) == [(Result.LOST, 0.0)]


def test_a_run_whose_wrapper_never_left_a_mark_did_not_begin(fleet: Fleet) -> None:
    job = fleet.submit()
    fleet.machines["alpha"].wrap = lambda folder: None  # type: ignore[method-assign]
    fleet.until(TICK + timedelta(seconds=20))
    (run,) = fleet.runs().values()
    assert (run.state, run.started_at) == (RunState.FAILED, None)
    assert told(fleet, job) == [(Result.SKIPPED, None)]


@pytest.mark.parametrize("known", [RunState.RUNNING, RunState.LOST])
def test_a_lost_run_of_which_its_node_knows_that_it_never_began_did_not(known: RunState) -> None:
    lost = report(RunState.LOST, started_at=None, unbegun=True)
    run = Run(
        id=lost.run_id,
        job_id=1,
        copy=0,
        tick=TICK,
        attempt=1,
        state=known,
        started_by=StartedBy.CLOCK,
        node=lost.node,
        created_at=TICK,
        started_at=TICK,
    )
    right = advance(run, lost, TICK)
    assert right is not None
    assert (right.state, right.started_at) == (RunState.LOST, None)
    assert advance(right, lost, TICK) is None
