"""What is old is found and removed the same on each database, and by its indexes."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from support.samples import NOW, hand_run, new_job, report

from cronkeeper.common.model import Output, RunState, replace
from cronkeeper.common.settings import History
from cronkeeper.common.store import history, idempotency, jobs, leader, outputs, runs
from cronkeeper.common.store.idempotency import Key
from cronkeeper.common.store.schema import Stream, run_output
from cronkeeper.common.store.store import Store
from cronkeeper.manager.retention import BEGINNING, REST, Retention, find

HOUR = timedelta(hours=1)


class NoShelf:
    """A store of artifacts that nothing may be asked of."""


def fill(store: Store, job_id: int, count: int) -> list[str]:
    """So many ended runs, an hour apart, newest first, each with what it wrote."""
    made = [hand_run(f"{age:05d}", job_id=job_id, created_at=NOW - age * HOUR) for age in range(count)]
    rows = [
        {"run_id": one.id, "stream": stream, "size": 3, "data": b"out"} for one in made for stream in Stream
    ]

    def work(connection: Connection) -> None:
        for one in made:
            runs.request(connection, replace(one, state=RunState.SUCCEEDED))
        connection.execute(sa.insert(run_output), rows)

    store.transaction(work, writes=True)
    return [one.id for one in made]


@pytest.fixture
def job_ids(store: Store) -> list[int]:
    return [
        store.transaction(lambda connection: jobs.insert(connection, new_job(), "ann", NOW)).id
        for _ in range(12)
    ]


def test_a_sweep_leaves_of_each_job_what_the_limits_allow(store: Store, job_ids: list[int]) -> None:
    first, tenth = (fill(store, job_id, 300) for job_id in (job_ids[0], job_ids[9]))
    store.transaction(lambda connection: leader.take(connection, 0, 1, "me"))
    for number, age in enumerate((1, 8)):
        key = Key(actor="ann", key=f"k{number}", fingerprint="f")
        store.transaction(
            lambda c, key=key, age=age: idempotency.add(c, key, 1, NOW - timedelta(days=age)), writes=True
        )
    limits = History(runs_per_job=250, output_days=5, output_per_job=200)
    retention = Retention(store, NoShelf(), limits, lambda: None)  # type: ignore[arg-type]
    retention.lead(1)
    while retention.step(NOW) != REST:
        pass

    def left(connection: Connection) -> tuple[list[str], list[str], list[str]]:
        listed = [run.id for job_id in job_ids for run in runs.listing(connection, job_id, limit=1000)]
        written = connection.scalars(sa.select(run_output.c.run_id).distinct()).all()
        return listed, list(written), list(connection.scalars(sa.text("SELECT actor FROM idempotency")))

    listed, written, kept_keys = store.transaction(left)
    assert listed == first[:250] + tenth[:250]
    assert sorted(written) == sorted(first[:121] + tenth[:121])
    assert kept_keys == ["ann"]
    assert store.transaction(lambda c: find(c, limits, BEGINNING, NOW)).runs == []


def test_each_question_is_answered_by_an_index(store: Store, url: str, job_ids: list[int]) -> None:
    for job_id in job_ids:
        fill(store, job_id, 60)
    place = (NOW - 30 * HOUR, "x")
    asked: list[tuple[str, object]] = []

    def ask(work: Callable[[Connection], object]) -> None:
        def noted(connection: Connection) -> None:
            event = ("before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
            sa.event.listen(connection, *event)
            work(connection)
            sa.event.remove(connection, *event)

        store.transaction(noted)

    ask(lambda c: history.place_of_old(c, job_ids[3], 50, None))
    ask(lambda c: history.old_runs(c, job_ids[3], place, 100))
    ask(lambda c: history.runs_with_output(c, job_ids[3], "", 100))
    ask(lambda c: history.forget_requests(c, NOW, 100))

    def plans(connection: Connection) -> list[str]:
        if connection.dialect.name == "mysql":
            connection.exec_driver_sql("ANALYZE TABLE run, run_output, idempotency")
        word = "EXPLAIN" if connection.dialect.name == "mysql" else "EXPLAIN QUERY PLAN"
        rows = [connection.exec_driver_sql(f"{word} {text}", values).all() for text, values in asked]
        return [" ".join(str(column) for row in found for column in row) for found in rows]

    found = store.transaction(plans)
    assert len(found) == 5
    if url.startswith("sqlite"):
        assert all("SEARCH" in plan and "SCAN" not in plan and "TEMP B-TREE" not in plan for plan in found), (
            found
        )
    else:
        assert not any(" ALL " in plan or "filesort" in plan for plan in found), found


def test_it_is_known_what_is_stored_whenever_that_is_told(store: Store, job_ids: list[int]) -> None:
    told = report(RunState.SUCCEEDED, job_id=job_ids[0], stdout=Output(size=9, data=b"cut"))
    later = replace(told, stdout=Output(size=9, data=b"cut", stored=9))

    def output() -> Output | None:
        return store.transaction(lambda connection: runs.output(connection, told.run_id, Stream.STDOUT))

    store.transaction(lambda connection: outputs.note_late(connection, [later], ()))
    assert output() is None
    store.transaction(lambda connection: runs.record(connection, told, NOW))
    for _ in range(2):
        store.transaction(lambda connection: outputs.note_late(connection, [later], ()))
        assert output() == later.stdout
    assert store.transaction(lambda c: outputs.stored_of(c, [told.run_id])) == [(told.run_id, Stream.STDOUT)]
    store.transaction(lambda connection: outputs.remove(connection, [told.run_id]))
    assert output() is None
    store.transaction(lambda connection: outputs.note_late(connection, [later], ()))
    assert output() == later.stdout
