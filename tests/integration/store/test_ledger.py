"""What the ledger reads is the same on each database, and found by its keys."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from support.samples import NOW, TICK, hand_run, new_job, report

from cronkeeper.common.errors import NotFound
from cronkeeper.common.expected import periods
from cronkeeper.common.model import Job, RunState, SkipReason, replace, tick_run_id
from cronkeeper.common.settings import History
from cronkeeper.common.store import jobs, leader, runs, schedules, ticks
from cronkeeper.common.store.store import Store
from cronkeeper.manager.retention import REST, Retention

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class NoShelf:
    """A store of artifacts that nothing may be asked of."""


def made(store: Store, **changes: Any) -> Job:
    return store.transaction(lambda connection: jobs.insert(connection, new_job(**changes), "ann", NOW))


def edited(store: Store, job: Job, minutes: float, **changes: Any) -> Job:
    now = NOW + minutes * MINUTE
    since = now if changes.get("enabled", True) else job.effective_from
    new = replace(job, **changes)
    return store.transaction(lambda connection: jobs.edit(connection, job, new, since, now))


def past(store: Store, job: Job) -> list[tuple[str, float, float, SkipReason | None]]:
    found = store.transaction(lambda c: schedules.past(c, [job.id]).get(job.id, []))
    return [
        (one.schedule, (one.effective_from - NOW) / MINUTE, (one.until - NOW) / MINUTE, one.reason)
        for one in found
        if one.until is not None
    ]


def test_what_a_job_said_of_its_ticks_is_kept_when_it_says_something_else(store: Store) -> None:
    other, job = made(store), made(store)
    job = edited(store, job, 1, schedule="*/5 * * * *")
    job = edited(store, job, 2, enabled=False)
    job = edited(store, job, 3, enabled=True)
    store.transaction(lambda c: jobs.remove(c, job.id, NOW + 4 * MINUTE))
    store.transaction(lambda c: jobs.remove(c, job.id, NOW + 5 * MINUTE))
    assert past(store, job) == [
        ("* * * * *", 0, 1, SkipReason.EDITED),
        ("*/5 * * * *", 1, 2, SkipReason.PAUSED),
        ("*/5 * * * *", 3, 4, SkipReason.REMOVED),
    ]
    assert past(store, other) == []
    dated = store.transaction(lambda c: schedules.dated(c, job.id))
    assert (dated.ended_at, dated.forgotten_tick) == (NOW + 4 * MINUTE, None)
    of_all = store.transaction(lambda c: schedules.past(c, [other.id, job.id]))
    times = periods(dated, of_all[job.id])
    assert [one.begin for one in times[:3]] == [one.effective_from for one in times[:3]]
    with pytest.raises(NotFound):
        store.transaction(lambda c: schedules.dated(c, 99))


def test_an_edit_that_changes_no_tick_leaves_nothing_behind(store: Store) -> None:
    job = made(store)
    renamed = replace(job, name="another")
    store.transaction(lambda c: jobs.edit(c, job, renamed, job.effective_from, NOW + MINUTE))
    by_hand = made(store, schedule=None)
    store.transaction(lambda c: jobs.remove(c, by_hand.id, NOW + MINUTE))
    assert past(store, job) == past(store, by_hand) == []


def test_jobs_that_ended_long_ago_are_left_out_and_the_others_come_by_id(store: Store) -> None:
    ids = [made(store).id for _ in range(5)]
    store.transaction(lambda c: jobs.remove(c, ids[0], NOW - 2 * DAY))
    store.transaction(lambda c: jobs.remove(c, ids[1], NOW - DAY / 2))

    def listed(after: int, limit: int) -> list[int]:
        found = store.transaction(lambda c: schedules.all_dated(c, after, NOW - DAY, limit))
        return [job.job_id for job in found]

    assert listed(0, 3) == ids[1:4]
    assert listed(ids[3], 3) == ids[4:]


def fill(store: Store, job_id: int, count: int) -> None:
    """So many ticks that ran, a minute apart from TICK on, and a run by hand."""

    def work(connection: Connection) -> None:
        told = []
        for number in range(count):
            tick = TICK + number * MINUTE
            run_id = tick_run_id(job_id, 1, tick, 1)
            told.append(report(RunState.SUCCEEDED, run_id=run_id, job_id=job_id, copy=1, tick=tick))
        runs.record_many(connection, told, NOW)
        runs.request(connection, hand_run(job_id=job_id, copy=1))

    store.transaction(work, writes=True)


def test_the_runs_of_a_window_are_found_with_the_next_one_and_no_others(store: Store) -> None:
    job_ids = [made(store).id for _ in range(12)]
    for job_id in (job_ids[0], job_ids[0] + 9, job_ids[0] + 10):  # 1, 10 and 11: ids that begin alike
        fill(store, job_id, 10)

    def told(begin: float, end: float) -> list[float]:
        found = store.transaction(
            lambda c: ticks.told(c, job_ids[0], 1, TICK + begin * MINUTE, TICK + end * MINUTE)
        )
        assert {run.job_id for run in found} == {job_ids[0]}
        return [(run.tick - TICK) / MINUTE for run in found if run.tick is not None]

    assert told(2, 4) == [2, 3, 4]
    assert told(2.5, 4.5) == [3, 4, 5]
    assert told(-9, 1) == [0, 1]
    assert told(8, 60) == [8, 9]


def test_a_range_of_skipped_ticks_keeps_its_first(store: Store) -> None:
    job = made(store)
    tick = TICK + 5 * MINUTE
    skip = report(
        RunState.SKIPPED,
        run_id=tick_run_id(job.id, 1, tick, 1),
        job_id=job.id,
        copy=1,
        tick=tick,
        started_at=None,
        first_tick=TICK,
    )
    store.transaction(lambda connection: runs.record(connection, skip, NOW))
    assert store.transaction(lambda c: runs.get(c, skip.run_id)).first_tick == TICK


def test_what_is_removed_as_old_is_known_to_be_forgotten(store: Store) -> None:
    job, other = made(store), made(store)
    fill(store, job.id, 10)
    edited(store, job, 1, schedule="*/5 * * * *")
    store.transaction(lambda connection: leader.take(connection, 0, 1, "me"))
    retention = Retention(store, NoShelf(), History(runs_per_job=4), lambda: None)  # type: ignore[arg-type]
    retention.lead(1)

    def forgotten(job_id: int) -> object:
        return store.transaction(lambda c: schedules.dated(c, job_id)).forgotten_tick

    while retention.step(NOW) != REST:
        pass
    left = [run.tick for run in store.transaction(lambda c: runs.listing(c, job.id)) if run.tick is not None]
    removed = TICK + (10 - len(left) - 1) * MINUTE
    assert forgotten(job.id) == removed
    assert min(left) == removed + MINUTE
    assert forgotten(other.id) is None
    assert len(past(store, job)) == 1
    while retention.step(NOW + 91 * DAY) != REST:
        pass
    assert past(store, job) == []


def test_the_nodes_of_unfinished_runs_are_known(store: Store) -> None:
    job = made(store)
    for node, state in (
        ("alpha", RunState.RUNNING),
        ("beta", RunState.SUCCEEDED),
        ("gamma", RunState.CLAIMED),
    ):
        told = report(state, job_id=job.id, run_id=f"{job.id}.1.{node}.1", copy=1, node=node)
        store.transaction(lambda c, told=told: runs.record(c, told, NOW))
    assert store.transaction(runs.nodes_of_unfinished) == ["alpha", "gamma"]


def test_each_question_is_answered_by_an_index(store: Store, url: str) -> None:
    job_ids = [made(store).id for _ in range(12)]
    for job_id in job_ids:
        fill(store, job_id, 60)
    asked: list[tuple[str, object]] = []

    def ask(connection: Connection) -> None:
        event = ("before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
        sa.event.listen(connection, *event)
        ticks.told(connection, job_ids[3], 1, TICK, TICK + 10 * MINUTE)
        schedules.past(connection, job_ids[:3])
        schedules.forget(connection, NOW - DAY, 10)
        sa.event.remove(connection, *event)

    store.transaction(ask)

    def plans(connection: Connection) -> list[str]:
        if connection.dialect.name == "mysql":
            connection.exec_driver_sql("ANALYZE TABLE run, past_schedule")
        word = "EXPLAIN" if connection.dialect.name == "mysql" else "EXPLAIN QUERY PLAN"
        rows = [connection.exec_driver_sql(f"{word} {text}", values).all() for text, values in asked]
        return [" ".join(str(column) for row in found for column in row) for found in rows]

    found = store.transaction(plans)
    assert len(found) == 4
    if url.startswith("sqlite"):
        assert all("SEARCH" in plan and "TEMP B-TREE" not in plan for plan in found), found
    else:
        assert not any(" ALL " in plan and "run" in plan for plan in found[:2]), found
        assert not any("filesort" in plan for plan in found[:2]), found
