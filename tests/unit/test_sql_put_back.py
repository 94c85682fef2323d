"""SQL is put back to a backup while nodes and ZooKeeper live on: nothing runs twice, and what is lost is told."""

from datetime import timedelta

import pytest
from support.backups import Backup, backup, doubled, put_back, restored, without_node, wrong
from support.fakes import BEGIN
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, MakeFleet

from cronkeeper.common.coordination import paths
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Job, JobStatus, RunState
from cronkeeper.common.store import leader, nodes
from cronkeeper.manager import ledger

TICK = BEGIN + timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


def restore(fleet: Fleet, copy: Backup, seconds: float = 25) -> None:
    put_back(fleet.store, copy)
    fleet.go(seconds)


def results(fleet: Fleet, job: Job, minutes: int) -> list[Result]:
    """Of the first ticks."""
    window = Window(begin=TICK, end=TICK + minutes * MINUTE, now=fleet.time.now)
    return [entry.result for entry in ledger.of_job(fleet.desk, job.id, window, Rules()).ticks]


def epochs(fleet: Fleet) -> tuple[int, int]:
    in_sql = fleet.store.transaction(leader.read)
    return in_sql, int(fleet.desk.tree.get(paths.EPOCH).data)


@pytest.mark.parametrize("leading", ["throughout", "another", "stopped", "standby"])
def test_the_fleet_goes_on_and_the_ledger_marks_what_it_has_forgotten(fleet: Fleet, leading: str) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    copy = backup(fleet.store)
    if leading in ("another", "standby"):
        fleet.lead("second")
    if leading == "another":
        fleet.restart("first")
    fleet.until(TICK + 3 * MINUTE + timedelta(seconds=10))
    if leading == "stopped":
        fleet.stop("first")
        fleet.go(10)
    put_back(fleet.store, copy)
    if leading == "stopped":
        fleet.lead("first")
    fleet.go(25)
    in_sql, in_tree = epochs(fleet)
    assert in_sql == in_tree > 1
    fleet.until(TICK + 5 * MINUTE + timedelta(seconds=10))
    assert doubled(fleet) == []
    assert len(fleet.starts()) == 6
    assert results(fleet, job, 6) == [Result.RAN, *[Result.UNKNOWN] * 3, Result.RAN, Result.RAN]
    assert wrong(fleet) == []


def test_what_nodes_tell_again_replaces_what_was_not_known(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(5)
    copy = backup(fleet.store)
    reporter = fleet.loops.pop("alpha's reporter")
    fleet.until(TICK + MINUTE + timedelta(seconds=10))
    restore(fleet, copy, 10)
    assert results(fleet, job, 2) == [Result.UNKNOWN, Result.UNKNOWN]
    fleet.loops["alpha's reporter"] = reporter
    fleet.go(20)
    assert results(fleet, job, 2) == [Result.RAN, Result.RAN]
    assert wrong(fleet) == []


def test_a_run_in_flight_is_told_as_ever(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 100
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(5)
    copy = backup(fleet.store)
    fleet.until(TICK + timedelta(seconds=50))
    restore(fleet, copy, 30)
    fleet.machines["alpha"].run_seconds = 1
    fleet.go(60)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert results(fleet, job, 1) == [Result.RAN]
    assert doubled(fleet) == []
    assert wrong(fleet) == []


def test_a_run_that_went_on_then_and_has_ended_since_is_lost(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 20
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    copy = backup(fleet.store)
    fleet.go(40)
    restore(fleet, copy)
    run = fleet.runs()[RUN]
    assert (run.state, run.reason) == (
        RunState.LOST,
        "SQL was put back to a backup: how the run ended is not known",
    )


def test_a_run_by_hand_that_was_queued_then_does_not_begin_again(fleet: Fleet) -> None:
    job = fleet.submit(schedule=NEVER)
    fleet.go(5)
    fleet.loops.pop("first")
    asked = fleet.request(job)
    copy = backup(fleet.store)
    fleet.restart("first")
    fleet.go(60)
    assert fleet.starts() == [asked.id]
    restore(fleet, copy)
    assert fleet.starts() == [asked.id]
    assert fleet.runs()[asked.id].state is RunState.LOST
    assert wrong(fleet) == []


def test_what_was_edited_since_is_published_as_sql_has_it_and_no_tick_of_before_begins(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE, name="before")
    fleet.until(TICK + timedelta(seconds=10))
    copy = backup(fleet.store)
    for number in range(3):
        fleet.change(fleet.job(job), schedule=NEVER, name=f"after {number}")
        fleet.go(5)
    fleet.until(TICK + 4 * MINUTE + timedelta(seconds=10))
    assert fleet.starts() == [RUN]
    put_back(fleet.store, copy)
    fleet.go(30)
    now = fleet.job(job)
    assert (now.name, now.rev, now.published_rev) == ("before", 5, 5)
    assert fleet.starts() == [RUN]
    fleet.until(TICK + 6 * MINUTE + timedelta(seconds=10))
    assert len(fleet.starts()) == 3
    assert results(fleet, job, 7) == [Result.RAN, Result.RAN, Result.RAN]
    assert restored(fleet) == ["before: published again, as rev 5"]
    fleet.change(fleet.job(job), name="again")
    fleet.go(5)
    assert wrong(fleet) == []


def test_what_was_paused_since_goes_on_from_now_and_what_was_resumed_is_paused(fleet: Fleet) -> None:
    paused = fleet.submit(schedule=EACH_MINUTE)
    resumed = fleet.submit(schedule=EACH_MINUTE, enabled=False)
    fleet.go(5)
    copy = backup(fleet.store)
    fleet.change(fleet.job(paused), enabled=False)
    fleet.change(fleet.job(resumed), enabled=True)
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert {run_id.partition(".")[0] for run_id in fleet.starts()} == {"2"}
    restore(fleet, copy, 30)
    before = fleet.starts()
    fleet.until(TICK + 3 * MINUTE + timedelta(seconds=10))
    assert [run_id for run_id in fleet.starts() if run_id not in before] == ["1.1.20260301T120400Z.1"]
    assert doubled(fleet) == []
    assert wrong(fleet) == []


def test_jobs_that_were_made_since_are_known_again_and_no_number_is_given_twice(fleet: Fleet) -> None:
    fleet.submit(schedule=NEVER)
    fleet.go(5)
    copy = backup(fleet.store)
    made = fleet.submit(schedule=EACH_MINUTE, name="made since", env={"A": "b"}, max_lateness=99.0)
    gone = fleet.submit(schedule=NEVER)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.remove(gone)
    fleet.go(50)
    before = fleet.job(made)
    restore(fleet, copy)
    after = fleet.job(made)
    defined = (
        "name",
        "schedule",
        "env",
        "max_lateness",
        "rev",
        "published_rev",
        "assigned_node",
        "effective_from",
    )
    assert {name: getattr(after, name) for name in defined} == {
        name: getattr(before, name) for name in defined
    }
    assert after.created_by == "cronkeeper"
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert len(fleet.starts()) == 3
    assert doubled(fleet) == []
    assert fleet.submit(schedule=NEVER).id > gone.id
    assert restored(fleet) == ["job 2 (made since) is known again by its spec"]
    fleet.go(5)
    assert wrong(fleet) == []


def test_jobs_that_were_removed_since_are_back_and_replay_nothing(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE, max_lateness=86400.0)
    fleet.until(TICK + timedelta(seconds=10))
    copy = backup(fleet.store)
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    fleet.remove(job)
    fleet.until(TICK + 5 * MINUTE + timedelta(seconds=10))
    restore(fleet, copy, 30)
    assert len(fleet.starts()) == 3
    fleet.until(TICK + 6 * MINUTE + timedelta(seconds=10))
    assert len(fleet.starts()) == 4
    assert doubled(fleet) == []
    assert results(fleet, job, 7) == [Result.RAN, *[Result.UNKNOWN] * 5, Result.RAN]
    assert wrong(fleet) == []


def test_a_one_shot_that_may_have_run_since_does_not_run_and_says_so(fleet: Fleet) -> None:
    done = fleet.submit(schedule="@once", at=TICK)
    later = fleet.submit(schedule="@once", at=TICK + 5 * MINUTE)
    fleet.go(5)
    copy = backup(fleet.store)
    fleet.until(TICK + MINUTE)
    assert fleet.job(done).status is JobStatus.FINISHED
    restore(fleet, copy)
    assert (fleet.job(done).status, fleet.job(later).ended_at) == (JobStatus.ERROR, None)
    assert restored(fleet) == [
        f"job {done.id} ({done.name}) may have had its one tick, and has ended: run it again if it has not"
    ]
    assert results(fleet, done, 1) == [Result.UNKNOWN]
    fleet.until(TICK + 5 * MINUTE + timedelta(seconds=20))
    assert len(fleet.starts()) == 2
    assert fleet.job(later).status is JobStatus.FINISHED


def test_it_is_put_back_twice_in_a_row(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    copy = backup(fleet.store)
    fleet.change(fleet.job(job), name="after")
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    restore(fleet, copy)
    fleet.until(TICK + 4 * MINUTE + timedelta(seconds=10))
    restore(fleet, copy)
    fleet.until(TICK + 6 * MINUTE + timedelta(seconds=10))
    assert results(fleet, job, 7) == [Result.RAN, *[Result.UNKNOWN] * 4, Result.RAN, Result.RAN]
    assert fleet.job(job).name == job.name
    assert doubled(fleet) == []
    assert wrong(fleet) == []


def test_a_node_that_was_added_since_keeps_its_jobs_and_is_heard_once_it_is_added_again(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    copy = without_node(backup(fleet.store), "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="beta")
    fleet.go(40)
    restore(fleet, copy)
    assert fleet.store.transaction(lambda c: nodes.get(c, "beta")).public_key == nodes.NO_KEY
    assert fleet.claim(job)[0] == "beta"
    fleet.add("beta")
    assert fleet.store.transaction(lambda c: nodes.get(c, "beta")).public_key == "key"
    fleet.until(TICK + 2 * MINUTE + timedelta(seconds=10))
    assert len(fleet.starts()) == 3
    assert wrong(fleet) == []
