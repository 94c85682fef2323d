"""Copies whose node is forgotten, whose leader or tree is lost, and what is told of each."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.backups import backup, put_back, without_node, wrong
from support.everywhere import MINUTE, everywhere, named, there
from support.fakes import Trouble, crash_after, lose_reply
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, TICK, MakeFleet, look
from support.promise import AT_ONCE, DAY, blank, complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Conflict, Invalid
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Copies, Job, JobStatus, RunState
from cronkeeper.common.store.schema import run as run_rows
from cronkeeper.common.store.store import Store
from cronkeeper.manager import auditor as auditing
from cronkeeper.manager import jobs, ledger
from cronkeeper.manager.auditor import REST, Auditor


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


def test_a_run_by_hand_that_waited_for_a_node_is_canceled_when_that_is_forgotten(
    make_fleet: MakeFleet,
) -> None:
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


def test_whatever_befalls_the_leader_each_node_gets_one_copy_and_the_edit(
    tmp_path: Path, memory: Store
) -> None:
    """At each call that it makes meanwhile another leads, or it dies after it, or never hears of what it did."""
    for kind in ("take over", "crash", "lose"):
        reached = True
        number = 0
        while reached:
            (home := tmp_path / f"{kind}-{number}").mkdir()
            leader = {"leader": (trouble := Trouble())}
            fleet = Fleet(home, blank(memory), ("alpha", "beta"), trouble=leader)
            fleet.go(2)
            bring = {"take over": lambda _, go_on, it=fleet: it.take_over(go_on), "crash": crash_after}
            job = fleet.submit(schedule=EACH_MINUTE, copies=Copies.ALL)
            trouble.arm(number, bring.get(kind, lose_reply))
            fleet.go(0.3)
            fleet.change(job, timeout=50.0)
            fleet.go(0.3)
            reached = len(trouble.disarm()) > number
            fleet.go(20)
            assert sorted(there(fleet).items()) == [("alpha", [2]), ("beta", [3])], (kind, number)
            fleet.until(TICK + timedelta(seconds=10))
            assert sorted(fleet.starts()) == [named(2, 1), named(3, 1)], (kind, number)
            assert complaints(fleet) == [], (kind, number)
            number += 1
        assert number > 10


def test_a_removal_is_published_though_the_leader_dies_right_after_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta", trouble={"leader": (trouble := Trouble())})
    job = everywhere(fleet, schedule=NEVER)
    crashed: list[str] = []

    def crash_once(call: str, go_on: Callable[[], object]) -> object:
        answer = go_on()
        if not crashed and not there(fleet):
            crashed.append(call)
            crash_after(call, lambda: answer)
        return answer

    trouble.always(crash_once)
    fleet.remove(job)
    fleet.go(20)
    assert crashed == ["commit"]
    assert complaints(fleet) == []


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("reports", [True, False])
def test_after_a_lost_tree_each_node_has_its_copy_again_and_no_tick_runs_twice(
    make_fleet: MakeFleet, back: bool, reports: bool
) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet)
    before = fleet.copy_tree()
    silent = () if reports else ("alpha's reporter", "beta's reporter")
    held = {name: fleet.loops.pop(name) for name in silent}
    fleet.until(TICK + timedelta(seconds=50))
    assert fleet.starts() == [named(2, 1), named(3, 1)]
    fleet.lose_tree(before if back else None)
    fleet.go(30)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    fleet.loops |= held
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert sorted(fleet.starts()) == [named(copy, minute) for copy in (2, 3) for minute in (1, 2, 3)]
    assert complaints(fleet) == []


def test_in_a_paused_fleet_a_lost_tree_gets_its_copies_back(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.pause(None)
    look(fleet)
    fleet.lose_tree()
    fleet.go(60)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    fleet.resume(None)
    fleet.until(TICK + 4 * MINUTE + timedelta(seconds=10))
    assert sorted(fleet.starts()) == [named(copy, minute) for copy in (2, 3) for minute in (1, 3, 4, 5)]
    assert complaints(fleet) == []


def test_a_copy_that_was_parked_when_the_tree_was_lost_knows_what_it_ran(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet, schedule="1 * * * *")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.drain("alpha")
    look(fleet)
    assert there(fleet) == {"beta": [3]}
    fleet.lose_tree()
    fleet.go(30)
    fleet.undrain("alpha")
    fleet.go(90)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    assert fleet.starts() == [named(2, 1), named(3, 1)]
    assert complaints(fleet) == []


def test_of_a_node_that_is_away_when_the_tree_is_lost_the_copy_waits_and_its_run_is_known_again(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 200
    job = everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.stop("alpha")
    fleet.go(10)
    fleet.lose_tree()
    fleet.go(50)
    assert there(fleet) == {"beta": [3]}
    assert fleet.job(job).published_rev == 1
    fleet.work("alpha")
    fleet.until(TICK + 5 * MINUTE + timedelta(seconds=10))
    fleet.machines["alpha"].run_seconds = 1
    fleet.go(60)
    assert there(fleet) == {"alpha": [2], "beta": [3]}
    assert fleet.machines["alpha"].starts[:2] == [named(2, 1), named(2, 5)]
    assert fleet.runs()[named(2, 1)].state is RunState.SUCCEEDED
    assert Result.UNACCOUNTED not in {each[2] for each in told(fleet, job)}


def test_the_ledger_can_be_asked_for_one_node_and_begins_with_its_copy(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.stop("beta")
    fleet.go(10)
    job = everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=20))
    fleet.work("beta")
    fleet.until(TICK + MINUTE + timedelta(seconds=20))
    ran = Result.RAN
    assert told(fleet, job) == [(2, 1, ran, None), (2, 2, ran, None), (3, 2, ran, None)]
    assert told(fleet, job, "beta") == [(3, 2, ran, None)]


def test_the_auditor_finds_the_hole_of_one_copy(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet)
    fleet.until(TICK + 4 * MINUTE + timedelta(seconds=20))
    lost = sa.delete(run_rows).where(run_rows.c.id == named(3, 2))
    fleet.store.transaction(lambda connection: connection.execute(lost))
    fleet.go(60 * 15)
    auditor = Auditor(fleet.server.connect(), fleet.store, Rules(), lambda: None)
    auditor.lead(1)
    for _ in range(5):
        auditor.step(fleet.time.now)
    assert set(auditor._seen) == {(1, 2), (1, 3)}
    said = [record.getMessage() for record in caplog.records if "nothing tells" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(
        "nothing tells what became of 1 ticks of copy 3 of job 1, from 2026-03-01T12:02:00Z"
    )


def test_a_sweep_goes_through_the_copies_in_steps_and_past_jobs_without_any(
    make_fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "COPIES", 2)
    monkeypatch.setattr(auditing, "JOBS", 2)
    fleet = make_fleet("alpha", "beta", "gamma")
    for requires in ({"no": "such"}, {"no": "such"}, {}, {"no": "such"}, {}):
        everywhere(fleet, schedule=EACH_MINUTE, requires=requires)
    fleet.submit(schedule=EACH_MINUTE)
    fleet.go(120)
    auditor = Auditor(fleet.server.connect(), fleet.store, Rules(), lambda: None)
    auditor.lead(1)
    steps = next(number for number in range(50) if auditor.step(fleet.time.now) == REST)
    assert steps >= 3
    assert set(auditor._seen) == {(job, copy) for job in (3, 5) for copy in (2, 3, 4)} | {(6, 1)}


@pytest.mark.parametrize("known", ["the job and no copy of beta", "not even the job"])
def test_after_sql_was_put_back_each_copy_goes_by_its_number_and_no_tick_runs_twice(
    make_fleet: MakeFleet, known: str
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.go(7)
    copy = backup(fleet.store)
    job = fleet.submit(schedule=EACH_MINUTE, copies=Copies.ALL)
    fleet.until(TICK + timedelta(seconds=5))
    before = sorted((name.copy, node) for node, name in fleet.claims())
    if known != "not even the job":
        copy = without_node(backup(fleet.store), "beta")
    fleet.until(TICK + timedelta(seconds=40))
    put_back(fleet.store, copy)
    fleet.until(TICK + timedelta(seconds=160))
    assert sorted((name.copy, node) for node, name in fleet.claims()) == before
    assert len(fleet.starts()) == len(set(fleet.starts())) == 6
    assert fleet.job(job).copies is Copies.ALL
    assert wrong(fleet) == []
