"""Jobs are edited, created once for each key, and listed in any order: one contract on both databases."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.samples import NOW, at_once, hand_run, new_job

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.errors import Conflict, Invalid, Outdated
from cronkeeper.common.model import (
    Artifact,
    CatchUp,
    Concurrency,
    Copies,
    Definition,
    Job,
    JobStatus,
    JobType,
    OnNodeLoss,
    Retry,
    Run,
    RunState,
    WhenIsolated,
    replace,
)
from cronkeeper.common.store import audit, idempotency, jobs, runs, schema
from cronkeeper.common.store.idempotency import Key
from cronkeeper.common.store.job_query import JobQuery, JobSort, narrowed, place
from cronkeeper.common.store.jobs import Publication
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs as desk_jobs
from cronkeeper.manager.desk import Desk
from cronkeeper.manager.jobs import Edit

LATER = NOW + timedelta(minutes=5)
KEY = Key(actor="ann", key="k", fingerprint="f" * 64)
EVERYTHING: dict[str, Any] = {
    "type": JobType.SCRIPT,
    "name": "Ärger '\\ 🗄",
    "command": None,
    "artifact": Artifact("b" * 64, "x.sh", 5),
    "schedule": "0 3 * * *",
    "at": LATER,
    "timezone": "America/St_Johns",
    "run_as": "backup",
    "concurrency": Concurrency.ALLOW,
    "enabled": False,
    "shell": "/bin/bash",
    "args": ("-v", "", "ä b\n"),
    "node": "alpha",
    "env": {"A": "x=y\n'", "_B": ""},
    "stdin": "é\0🗄" * 16_000,
    "timeout": 0.1,
    "grace": 0.0,
    "catch_up": CatchUp.LATEST,
    "max_lateness": 2_678_400.0,
    "requires": {"disk": "ssd", "site": "berlin"},
    "max_output": 1024**3,
    "retry": Retry(attempts=3, delay=0.5, backoff=1.5, jitter=7.0),
    "on_node_loss": OnNodeLoss.RERUN,
    "when_isolated": WhenIsolated.STOP,
    "copies": Copies.ALL,
}


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Iterator[Desk]:
    server = EmbeddedServer(None)
    tree = server.connect()
    for path in paths.skeleton():
        tree.ensure(path)
    yield Desk(store, tree, DirectoryStore(tmp_path / "artifacts"))
    server.close()


def inserted(store: Store, **changes: Any) -> Job:
    return store.transaction(lambda conn: jobs.insert(conn, new_job(**changes), "ann", NOW))


def listed(store: Store, **query: Any) -> list[Job]:
    return store.transaction(lambda conn: jobs.listing(conn, JobQuery(**query)))


def test_every_field_of_a_definition_is_kept_and_can_be_edited(store: Store) -> None:
    assert EVERYTHING.keys() == {field.name for field in fields(Definition)}
    full, plain = inserted(store, **EVERYTHING), inserted(store)
    assert listed(store) == [full, plain]

    edited = store.transaction(lambda conn: jobs.edit(conn, plain, full, LATER, LATER))
    assert {name: getattr(edited, name) for name in EVERYTHING} == EVERYTHING
    assert (edited.rev, edited.effective_from, edited.updated_at) == (2, LATER, LATER)
    assert (edited.created_at, edited.created_by, edited.published_rev) == (NOW, "ann", 0)
    back = store.transaction(lambda conn: jobs.edit(conn, edited, plain, NOW, LATER))
    assert listed(store) == [full, back]
    assert back == replace(plain, rev=3, updated_at=LATER)


def test_an_edited_job_is_unpublished_again(store: Store) -> None:
    job = inserted(store)
    known = Publication(job_id=job.id, rev=1, node="alpha", gen="1-1", placement=None)
    store.transaction(lambda conn: jobs.publish(conn, [known]))
    assert store.transaction(jobs.unpublished) == []
    store.transaction(lambda conn: jobs.edit(conn, job, job, NOW, LATER))
    (waiting,) = store.transaction(jobs.unpublished)
    assert (waiting.rev, waiting.published_rev, waiting.assigned_node) == (2, 1, "alpha")


def test_a_job_that_was_changed_since_it_was_read_is_not_edited(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.edit(conn, job, replace(job, name="first"), NOW, NOW))
    with pytest.raises(Conflict):
        store.transaction(lambda conn: jobs.edit(conn, job, replace(job, name="second"), NOW, NOW))
    assert [each.name for each in listed(store)] == ["first"]


def rename(desk: Desk, job: Job, suffix: str, revs: frozenset[str] | None = None) -> Job | None:
    """Adds to the name; None where the job was at another rev."""
    edit = Edit(
        action="edit",
        change=lambda before: replace(before, name=before.name + suffix),
        actor="ann",
        now=LATER,
        revs=revs,
    )
    try:
        return desk_jobs.edit(desk, job.id, edit)
    except Outdated:
        return None


def test_edits_at_the_same_moment_come_one_after_the_other(desk: Desk) -> None:
    job = desk_jobs.submit(desk, new_job(name=""), "ann", NOW)
    told = at_once([lambda one=one: rename(desk, job, one) for one in "abcdef"])
    after = desk_jobs.get(desk, job.id)
    assert (sorted(after.name), after.rev) == (sorted("abcdef"), 7)
    assert sorted(each.rev for each in told) == [2, 3, 4, 5, 6, 7]
    assert len(desk.store.transaction(audit.listing)) == 7


def test_of_edits_of_the_same_rev_one_is_done(desk: Desk) -> None:
    job = desk_jobs.submit(desk, new_job(name=""), "ann", NOW)
    told = at_once([lambda one=one: rename(desk, job, one, frozenset({"1"})) for one in "abcdef"])
    done = [each for each in told if each is not None]
    assert done == [desk_jobs.get(desk, job.id)]
    assert done[0].rev == 2


def test_of_requests_with_one_key_at_the_same_moment_one_makes_a_job(desk: Desk) -> None:
    told = at_once([lambda: desk_jobs.submit_once(desk, new_job(), KEY, NOW)] * 6)
    assert {job.id for job, _ in told} == {listed(desk.store)[0].id}
    assert [repeated for _, repeated in told].count(False) == 1
    assert len(listed(desk.store)) == len(desk.store.transaction(audit.listing)) == 1


def test_a_key_is_its_actors_and_its_bodys(store: Store) -> None:
    store.transaction(lambda conn: idempotency.add(conn, KEY, 7, NOW))
    for other, found in ((KEY, 7), (replace(KEY, key="K"), None), (replace(KEY, actor="Ann"), None)):
        assert store.transaction(lambda conn, other=other: idempotency.job_of(conn, other)) == found
    with pytest.raises(Invalid, match="another body, which made job 7"):
        store.transaction(lambda conn: idempotency.job_of(conn, replace(KEY, fingerprint="0" * 64)))
    with pytest.raises(idempotency.Taken):
        store.transaction(lambda conn: idempotency.add(conn, KEY, 8, NOW))


@pytest.mark.parametrize("sort", JobSort)
@pytest.mark.parametrize("descending", [False, True])
def test_pages_hold_every_job_once_in_order(store: Store, sort: JobSort, descending: bool) -> None:
    for number in range(11):
        job = inserted(store, name="bB_a"[number % 4])
        moment = NOW + timedelta(microseconds=number % 3)
        store.transaction(
            lambda conn, job=job, moment=moment: jobs.edit(conn, job, replace(job, grace=1.0), NOW, moment)
        )
    seen: list[Job] = []
    beyond: tuple[int | str | datetime, int] | None = None
    while page := listed(store, limit=3, sort=sort, descending=descending, beyond=beyond):
        seen += page
        beyond = place(JobQuery(sort=sort), page[-1])
    assert seen == sorted(listed(store), key=lambda job: place(JobQuery(sort=sort), job), reverse=descending)
    assert len(seen) == 11


def test_lists_are_filtered(store: Store) -> None:
    first = inserted(store, name="100%_a")
    second = inserted(store, name="Other", enabled=False, type=JobType.BINARY)
    known = Publication(job_id=first.id, rev=1, node="alpha", gen="1-1", placement=None)
    store.transaction(lambda conn: jobs.publish(conn, [known]))
    store.transaction(lambda conn: jobs.note_outcome(conn, second.id, RunState.FAILED, NOW))
    for query, expected in [
        ({"node": "alpha"}, first),
        ({"status": JobStatus.ERROR}, second),
        ({"type": JobType.BINARY}, second),
        ({"enabled": True}, first),
        ({"enabled": False}, second),
        ({"name": "%_A"}, first),
        ({"name": "oTHER"}, second),
    ]:
        assert [job.id for job in listed(store, **query)] == [expected.id], query
    assert listed(store, name="0_a") == listed(store, node="alpha", enabled=False) == []


@pytest.mark.parametrize("sort", JobSort)
def test_a_page_is_a_walk_along_an_index_and_no_sort(store: Store, url: str, sort: JobSort) -> None:
    def fill(conn: sa.Connection) -> None:
        for number in range(300):
            jobs.insert(conn, new_job(name=f"job {number}"), "ann", NOW)

    store.transaction(fill)
    last = listed(store, limit=150, sort=sort)[-1]
    query = JobQuery(limit=10, sort=sort, beyond=place(JobQuery(sort=sort), last))

    def plan(conn: sa.Connection) -> str:
        if not url.startswith("sqlite"):
            conn.exec_driver_sql("ANALYZE TABLE job").fetchall()
        compiled = narrowed(sa.select(schema.job), query).compile(
            conn, compile_kwargs={"literal_binds": True}
        )
        explain = "EXPLAIN QUERY PLAN " if url.startswith("sqlite") else "EXPLAIN "
        return str(conn.exec_driver_sql(explain + str(compiled)).fetchall())

    told = store.transaction(plan)
    assert "TEMP B-TREE" not in told
    assert "filesort" not in told


def test_the_newest_run_of_each_job_is_found(store: Store) -> None:
    ids = [inserted(store).id for _ in range(3)]
    minutes = [(ids[0], "a", 1), (ids[0], "b", 2), (ids[0], "c", 2), (ids[1], "d", 0), (99, "e", 9)]
    for job_id, name, minute in minutes:
        run = hand_run(name, job_id=job_id, created_at=NOW + timedelta(minutes=minute))
        store.transaction(lambda conn, run=run: runs.request(conn, run))

    def newest(of: list[int]) -> dict[int, Run]:
        return store.transaction(lambda conn: runs.newest(conn, of))

    assert {job_id: run.id for job_id, run in newest(ids).items()} == {
        ids[0]: f"{ids[0]}.0.hand-c.1",
        ids[1]: f"{ids[1]}.0.hand-d.1",
    }
    assert newest([ids[2], *range(1000, 2000)]) == {}
    assert newest([]) == {}


def test_runs_are_listed_by_state(store: Store) -> None:
    for name, state in (("a", RunState.FAILED), ("b", RunState.SUCCEEDED), ("c", RunState.FAILED)):
        run = hand_run(name, state=state, created_at=NOW)
        store.transaction(lambda conn, run=run: runs.request(conn, run))
    found = store.transaction(lambda conn: runs.listing(conn, 1, state=RunState.FAILED))
    assert [run.id for run in found] == ["1.0.hand-c.1", "1.0.hand-a.1"]
    rest = store.transaction(
        lambda conn: runs.listing(conn, 1, state=RunState.FAILED, before=(NOW, found[0].id))
    )
    assert rest == found[1:]
