"""The auditor finds ticks that nothing tells of, and runs that nobody has any more."""

import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.fleet import Fleet
from support.samples import unfinished

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData
from cronkeeper.common.facts import Facts
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Claim, Job, JobStatus, Retry, RunState, decode, encode, replace
from cronkeeper.common.store.schema import job as job_rows
from cronkeeper.common.store.schema import run as run_rows
from cronkeeper.manager import auditor as auditing
from cronkeeper.manager import ledger
from cronkeeper.manager.auditor import REST, Auditor
from cronkeeper.manager.chore import RETRY

MINUTE = timedelta(minutes=1)
RULES = Rules(patience=2 * MINUTE)
"""Shorter than in earnest, so that the tests are."""


class Audited:
    """A fleet, and the auditor of its manager, which sweeps when it is told to."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.auditor = self.another()

    def another(self) -> Auditor:
        """That of a manager that was just started, and leads."""
        auditor = Auditor(self.fleet.server.connect(), self.fleet.store, RULES, lambda: None)
        leader = self.fleet.daemons["first"].leader
        assert leader is not None
        assert leader._reign is not None
        auditor.lead(leader._reign.epoch)
        return auditor

    def sweep(self) -> None:
        for _ in range(100):
            if self.auditor.step(self.fleet.time.now) == REST:
                return
        raise AssertionError("it never rests")

    def go(self, minutes: float, *, every: float = 1) -> None:
        """Let time pass, with a sweep now and then."""
        for _ in range(int(minutes / every)):
            self.fleet.go(every * 60)
            self.sweep()

    def results(self, job: Job) -> list[Result]:
        now = self.fleet.time.now
        window = Window(begin=now - 360 * MINUTE, end=now, now=now)
        return [entry.result for entry in ledger.of_job(self.fleet.desk, job.id, window, RULES).ticks]


@pytest.fixture
def audited(fleet: Fleet) -> Audited:
    return Audited(fleet)


def holes() -> float:
    return metrics.LEDGER_HOLES._value.get()


def overdue() -> float:
    value = metrics.MANAGER.get_sample_value("cronkeeper_manager_jobs_overdue")
    assert value is not None
    return value


def state(fleet: Fleet, run_id: str) -> RunState:
    return fleet.runs()[run_id].state


def set_back(fleet: Fleet, run_id: str) -> None:
    """Let SQL be as it was before the run's end: another copy of it, of an earlier day."""
    back = sa.update(run_rows).where(run_rows.c.id == run_id).values(state=RunState.RUNNING, ended_at=None)
    fleet.store.transaction(lambda c: c.execute(back))


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


def test_a_run_that_neither_its_node_nor_a_claim_has_is_lost(
    audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = audited.fleet
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    set_back(fleet, run_id)
    lost = metrics.RUNS_LOST._value.get()
    audited.go(1)
    assert state(fleet, run_id) is RunState.RUNNING
    audited.go(3)
    assert state(fleet, run_id) is RunState.LOST
    assert fleet.runs()[run_id].reason == "node alpha knows nothing of it any more, and no claim lists it"
    assert metrics.RUNS_LOST._value.get() == lost + 1
    assert audited.results(job)[0] is Result.LOST


def test_a_run_of_a_removed_job_goes_on_as_long_as_its_node_says_so(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 900.0
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.remove(job)
    audited.go(12)
    assert state(fleet, run_id) is RunState.RUNNING
    audited.go(4)
    assert state(fleet, run_id) is RunState.SUCCEEDED


def test_a_run_of_a_removed_job_is_lost_when_its_node_was_wiped(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 3600.0
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.remove(job)
    fleet.go(60)
    fleet.stop("alpha")
    shutil.rmtree(alpha.home)
    alpha.running.clear()
    fleet.work("alpha")
    audited.go(6)
    assert state(fleet, run_id) is RunState.LOST


def test_a_run_that_a_claim_lists_and_the_node_does_not_know_is_lost_by_the_nodes_own_word(
    audited: Audited,
) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 3600.0
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.stop("alpha")
    shutil.rmtree(alpha.home)
    alpha.running.clear()
    fleet.work("alpha")
    fleet.go(60)
    assert state(fleet, run_id) is RunState.LOST


def test_what_a_claim_lists_is_left_to_whoever_has_the_claim(audited: Audited) -> None:
    fleet = audited.fleet
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.stop("alpha")  # and it stays away, without its session's end being seen
    _list_in_claim(fleet, run_id)
    set_back(fleet, run_id)
    fleet.loops.clear()
    audited.go(20)
    assert state(fleet, run_id) is RunState.RUNNING


def _list_in_claim(fleet: Fleet, run_id: str) -> None:
    tree = fleet.desk.tree
    ((node, name),) = fleet.claims()
    path = paths.claim(node, name)
    found = tree.get(path)
    one = unfinished(run_id, tick=fleet.runs()[run_id].tick, node=node)
    claim = replace(decode(found.data, Claim), unfinished=(one,))
    tree.commit([SetData(path, encode(claim), found.version)])


def test_a_node_that_does_not_say_what_it_has_is_left_alone(audited: Audited) -> None:
    fleet = audited.fleet
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    standing = fleet.daemons["alpha"].worker._parts.standing  # type: ignore[union-attr]
    standing.runs = lambda: None  # as a worker of the version before
    set_back(fleet, run_id)
    audited.go(8)
    assert state(fleet, run_id) is RunState.RUNNING
    told = decode(fleet.desk.tree.get(paths.facts("alpha")).data, Facts)
    assert told.runs is None


def test_a_run_of_a_node_that_is_gone_for_good_is_lost_though_no_claim_leads_to_it(
    make_fleet: Callable[..., Fleet],
) -> None:
    audited = Audited(make_fleet("alpha", "beta"))
    fleet = audited.fleet
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    node = fleet.runs()[run_id].node
    assert node is not None
    set_back(fleet, run_id)
    fleet.power_off(node)
    audited.go(6)
    assert state(fleet, run_id) is RunState.LOST
    assert fleet.runs()[run_id].reason == f"node {node} is gone, and no claim lists it"
    assert fleet.job(job).assigned_node != node


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


def test_a_run_that_a_claim_elsewhere_lists_and_of_which_sql_has_forgotten_the_end_is_lost(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("alpha", "beta")
    audited = Audited(fleet)
    for machine in fleet.machines.values():
        machine.run_seconds = 40.0
    job = fleet.submit(schedule="* * * * *")
    fleet.go(33)
    node, _ = fleet.claim(job)
    fleet.stop(node)
    fleet.go(15)
    moved, claim = fleet.claim(job)
    assert moved != node
    (run,) = claim.unfinished
    held = fleet.loops.pop("first")
    fleet.work(node)
    fleet.go(40)
    assert state(fleet, run.run_id) is RunState.SUCCEEDED
    set_back(fleet, run.run_id)
    fleet.loops["first"] = held
    for machine in fleet.machines.values():
        machine.run_seconds = 1.0
    audited.auditor = audited.another()
    audited.go(8)
    assert state(fleet, run.run_id) is RunState.LOST
    assert run.run_id not in {each.run_id for each in fleet.claim(job)[1].unfinished}
