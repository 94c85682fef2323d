"""The auditor finds ticks that nothing tells of, and one-shots that nobody has ended."""

import shutil
from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.audited import MINUTE, Audited, set_back, state
from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, states

from cronkeeper.common import metrics
from cronkeeper.common.ledger import Result
from cronkeeper.common.model import JobStatus, Retry, RunState
from cronkeeper.common.store.schema import job as job_rows
from cronkeeper.common.store.schema import run as run_rows
from cronkeeper.manager import auditor as auditing
from cronkeeper.manager.auditor import REST
from cronkeeper.manager.chore import RETRY


@pytest.fixture
def audited(fleet: Fleet) -> Audited:
    return Audited(fleet)


def holes() -> float:
    return metrics.LEDGER_HOLES._value.get()


def overdue() -> float:
    value = metrics.MANAGER.get_sample_value("cronkeeper_manager_jobs_overdue")
    assert value is not None
    return value


def test_of_a_fleet_that_is_well_there_is_nothing_to_tell(
    audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    before = holes()
    job = audited.fleet.submit(schedule="* * * * *")
    audited.fleet.submit(schedule=None)
    caplog.clear()
    audited.go(8)
    assert audited.results(job) == [Result.RAN] * 8
    assert holes() == before
    assert overdue() == 0
    assert [record for record in caplog.records if "auditor" in record.name or "strays" in record.name] == []


def test_a_row_that_is_gone_is_a_hole_and_is_told_once(
    audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    fleet, before = audited.fleet, holes()
    job = fleet.submit(schedule="* * * * *")
    fleet.go(60 * 5)
    gone = sorted(fleet.runs())[1:4]
    fleet.store.transaction(lambda c: c.execute(sa.delete(run_rows).where(run_rows.c.id.in_(gone))))
    assert audited.results(job) == [Result.RAN] + [Result.OPEN] * 3 + [Result.RAN]
    audited.go(6)
    assert audited.results(job)[:5] == [Result.RAN] + [Result.UNACCOUNTED] * 3 + [Result.RAN]
    assert holes() == before + 3
    (told,) = [r.getMessage() for r in caplog.records if "nothing tells" in r.getMessage()]
    assert told == (
        f"nothing tells what became of 3 ticks of job {job.id}, "
        "from 2026-03-01T12:02:00Z to 2026-03-01T12:04:00Z"
    )


def test_a_row_that_comes_late_is_no_hole(audited: Audited) -> None:
    fleet, before = audited.fleet, holes()
    job = fleet.submit(schedule="* * * * *")
    fleet.go(60 * 5)
    gone = sorted(fleet.runs())[2]
    row = fleet.store.transaction(
        lambda c: c.execute(sa.select(run_rows).where(run_rows.c.id == gone)).one()._asdict()
    )
    fleet.store.transaction(lambda c: c.execute(sa.delete(run_rows).where(run_rows.c.id == gone)))
    audited.sweep()
    fleet.store.transaction(lambda c: c.execute(sa.insert(run_rows).values(row)))
    audited.go(5)
    assert set(audited.results(job)) == {Result.RAN}
    assert holes() == before


def test_a_job_that_nothing_is_heard_of_is_overdue_until_something_is(
    audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    fleet, before = audited.fleet, holes()
    job = fleet.submit(schedule="* * * * *", max_lateness=60)
    fleet.go(90)
    fleet.power_off("alpha")
    audited.go(3)
    assert overdue() == 0
    audited.go(4)
    assert overdue() == 1
    assert [r.getMessage() for r in caplog.records if "overdue" in r.getMessage()] == [
        f"job {job.id} is overdue: nothing was heard of its tick of 2026-03-01T12:03:00Z, nor of any later one"
    ]
    fleet.work("alpha")
    audited.go(4)
    assert overdue() == 0
    assert holes() == before
    assert Result.UNACCOUNTED not in audited.results(job)


def test_an_auditor_without_a_reign_does_nothing_and_one_that_was_deposed_writes_nothing(
    audited: Audited,
) -> None:
    fleet = audited.fleet
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    set_back(fleet, run_id)
    audited.auditor.lead(None)
    audited.go(6)
    assert state(fleet, run_id) is RunState.RUNNING
    audited.auditor.lead(0)
    for _ in range(6):
        fleet.go(60)
        while audited.auditor.step(fleet.time.now) not in (REST, RETRY):
            pass
    assert state(fleet, run_id) is RunState.RUNNING


def test_skips_and_ends_in_the_claim_of_a_removed_job_are_not_forgotten(audited: Audited) -> None:
    """Its claim goes for good, and its node with it."""
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 100.0
    job = fleet.submit(schedule="* * * * *")
    fleet.go(45)
    reporter = fleet.daemons["alpha"].reporter
    assert reporter is not None
    del fleet.loops["alpha's reporter"]  # the API does not answer
    fleet.go(150)
    claim = fleet.claim(job)[1]
    assert claim.skips
    assert any(run.outcome is not None for run in claim.unfinished)
    fleet.remove(job)
    fleet.go(1)
    fleet.stop("alpha")
    shutil.rmtree(alpha.home)
    alpha.running.clear()
    fleet.work("alpha")
    audited.go(8)
    assert Result.UNACCOUNTED not in audited.results(job)
    assert {Result.LOST, Result.SKIPPED} == set(audited.results(job)) - {Result.RAN}
    assert all(run.state.final for run in fleet.runs().values())


def test_jobs_that_ended_long_ago_are_not_looked_at(audited: Audited) -> None:
    fleet = audited.fleet
    job = fleet.submit(schedule="* * * * *")
    fleet.go(60)
    fleet.remove(job)
    audited.sweep()
    assert (job.id, 1) in audited.auditor._seen
    old = sa.update(job_rows).values(ended_at=fleet.time.now - timedelta(days=2))
    fleet.store.transaction(lambda c: c.execute(old))
    audited.auditor = audited.another()
    audited.sweep()
    assert (job.id, 1) not in audited.auditor._seen


def test_a_sweep_looks_at_no_more_ticks_at_once_than_it_may_and_comes_to_the_last_job(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "TICKS", 10)
    monkeypatch.setattr(auditing, "JOBS", 3)
    fleet = audited.fleet
    jobs = [fleet.submit(schedule="* * * * *") for _ in range(5)]
    fleet.go(60 * 8)
    steps = 0
    while audited.auditor.step(fleet.time.now) != REST:
        steps += 1
        assert len(audited.auditor._swept) <= 2 * steps
    assert set(audited.auditor._seen) == {(job.id, 1) for job in jobs}
    audited.go(6)
    assert all(seen > fleet.time.now - 4 * MINUTE for seen in audited.auditor._seen.values())


def test_a_one_shot_that_was_given_another_attempt_too_late_ends_all_the_same(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds, alpha.exit_code = 10.0, 7
    job = fleet.submit(schedule="@once")
    fleet.go(5)
    held_up = fleet.loops.pop("first")
    fleet.change(fleet.job(job), retry=Retry(attempts=1, delay=1.0))
    fleet.go(30)
    fleet.loops["first"] = held_up
    fleet.go(5)
    assert len(fleet.starts()) == 1
    assert fleet.job(job).ended_at is None
    audited.go(1)
    assert fleet.job(job).ended_at is None
    audited.go(3)
    done = fleet.job(job)
    assert done.ended_at is not None
    assert done.status is JobStatus.ERROR
    assert fleet.claims() == {}


def test_a_one_shot_whose_attempt_waits_or_that_is_paused_is_not_done(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds, alpha.exit_code = 1.0, 7
    waiting = fleet.submit(schedule="@once", retry=Retry(attempts=1, delay=600.0))
    paused = fleet.submit(schedule="@once", at=fleet.time.now + MINUTE)
    fleet.go(30)
    fleet.change(fleet.job(paused), enabled=False)
    audited.go(8)
    assert [fleet.job(job).ended_at for job in (waiting, paused)] == [None, None]
    audited.go(5)
    assert fleet.job(waiting).ended_at is not None


def test_a_one_shot_whose_node_is_alone_may_have_an_attempt_that_waits_on_its_disk(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.exit_code = 7
    once = ALONE | {"schedule": "@once", "at": fleet.time.now + 2 * MINUTE}
    job = fleet.submit(**once, retry=Retry(attempts=1, delay=1200.0))
    fleet.go(60)
    cut(fleet)
    fleet.go(90)  # the reports come through
    assert list(states(fleet).values()) == [RunState.FAILED]
    audited.go(8)
    heal(fleet)
    audited.go(1)
    assert fleet.job(job).ended_at is None
    audited.go(15)
    assert len(fleet.starts()) == 2
    assert fleet.job(job).status is JobStatus.ERROR
