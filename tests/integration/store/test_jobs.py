"""Jobs in SQL: one contract on both databases."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from support.samples import NOW, at_once, new_job

from cronkeeper.common.errors import NotFound
from cronkeeper.common.model import Artifact, Copies, Job, JobStatus, JobType, RunState
from cronkeeper.common.store import jobs, schema
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.jobs import Publication
from cronkeeper.common.store.store import Store

LATER = NOW + timedelta(minutes=5)


def publication(job_id: int, rev: int = 1, **changes: str | None) -> Publication:
    fields = {"node": "alpha", "gen": "3-17", "placement": None}
    return Publication(job_id=job_id, rev=rev, **fields | changes)


def inserted(store: Store) -> Job:
    return store.transaction(lambda conn: jobs.insert(conn, new_job(), "ann", NOW))


def got(store: Store, job: Job) -> Job:
    return store.transaction(lambda conn: jobs.get(conn, job.id))


def note(store: Store, job: Job, state: RunState, minute: int) -> JobStatus:
    moment = NOW + timedelta(minutes=minute)
    store.transaction(lambda conn: jobs.note_outcome(conn, job.id, state, moment))
    return got(store, job).status


def test_a_new_job_is_scheduled_unpublished_and_due_from_now_on(store: Store) -> None:
    job = inserted(store)
    assert (job.status, job.rev, job.published_rev) == (JobStatus.SCHEDULED, 1, 0)
    assert (job.effective_from, job.created_at, job.updated_at, job.created_by) == (NOW, NOW, NOW, "ann")
    assert (job.assigned_node, job.placement, job.ended_at) == (None, None, None)


def test_a_job_is_read_as_it_was_inserted(store: Store) -> None:
    new = new_job(
        type=JobType.SCRIPT,
        name="Sauvegarde 🗄 ''\\",
        command=None,
        artifact=Artifact("a" * 64, "run me.sh", 5_000_000_000),
        schedule=None,
        at=NOW + timedelta(days=1),
        run_as="backup",
    )
    job = store.transaction(lambda conn: jobs.insert(conn, new, "ann", NOW))
    assert got(store, job) == job
    assert (job.artifact, job.at, job.name) == (new.artifact, new.at, new.name)


def test_a_command_may_be_long_and_hold_any_character(store: Store) -> None:
    command = "printf '%s\\n' \"€🗄\" # :x ? %(y)s\n" * 30_000
    job = store.transaction(lambda conn: jobs.insert(conn, new_job(command=command), "ann", NOW))
    assert got(store, job).command == command


def test_a_job_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^there is no job 42$"):
        store.transaction(lambda conn: jobs.get(conn, 42))
    with pytest.raises(NotFound, match="there is no job 42"):
        store.transaction(lambda conn: jobs.remove(conn, 42, NOW))


def test_ids_grow_and_are_never_used_again(store: Store) -> None:
    first, second = inserted(store), inserted(store)
    store.transaction(lambda conn: conn.execute(sa.delete(schema.job).where(schema.job.c.id == second.id)))
    third = inserted(store)
    assert first.id < second.id < third.id


def test_the_listing_goes_by_id_in_pages(store: Store) -> None:
    all_jobs = [inserted(store) for _ in range(5)]
    assert store.transaction(lambda conn: jobs.listing(conn, JobQuery(limit=3))) == all_jobs[:3]
    rest = store.transaction(
        lambda conn: jobs.listing(conn, JobQuery(beyond=(all_jobs[2].id, all_jobs[2].id), limit=3))
    )
    assert rest == all_jobs[3:]


def test_jobs_are_found_by_any_number_of_ids(store: Store) -> None:
    some = [inserted(store), inserted(store)]
    ids = [*range(some[0].id, some[0].id + 1200), 10**9]
    found = store.transaction(lambda conn: jobs.by_ids(conn, ids))
    assert sorted(job.id for job in found) == [job.id for job in some]
    assert store.transaction(lambda conn: jobs.by_ids(conn, [])) == []


def test_a_removed_job_has_ended_and_the_nodes_do_not_know_it_yet(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id)]))
    removed = store.transaction(lambda conn: jobs.remove(conn, job.id, LATER))
    assert (removed.status, removed.ended_at, removed.updated_at) == (JobStatus.FINISHED, LATER, LATER)
    assert (removed.rev, removed.published_rev) == (2, 1)
    assert store.transaction(jobs.unpublished) == [removed]
    assert store.transaction(jobs.assignments) == {}


def test_a_job_that_was_removed_can_be_removed_again_and_stays_as_it_is(store: Store) -> None:
    job = inserted(store)
    removed = store.transaction(lambda conn: jobs.remove(conn, job.id, NOW))
    assert store.transaction(lambda conn: jobs.remove(conn, job.id, LATER)) == removed


def test_of_two_threads_that_remove_a_job_one_does(store: Store) -> None:
    job = inserted(store)
    both = [lambda: store.transaction(lambda conn: jobs.remove(conn, job.id, NOW))] * 2
    assert [removed.rev for removed in at_once(both)] == [2, 2]


def test_a_one_shot_that_is_done_ends_once(store: Store) -> None:
    job = inserted(store)
    assert store.transaction(lambda conn: jobs.finish(conn, job.id, NOW, JobStatus.ERROR))
    assert not store.transaction(lambda conn: jobs.finish(conn, job.id, LATER, JobStatus.FINISHED))
    ended = got(store, job)
    assert (ended.status, ended.ended_at, ended.rev) == (JobStatus.ERROR, NOW, 2)


def test_a_one_shot_that_failed_is_finished_once_it_is_removed(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.finish(conn, job.id, NOW, JobStatus.ERROR))
    removed = store.transaction(lambda conn: jobs.remove(conn, job.id, LATER))
    assert (removed.status, removed.ended_at) == (JobStatus.FINISHED, NOW)


def test_only_what_the_nodes_do_not_know_is_unpublished(store: Store) -> None:
    one, two, three = (inserted(store) for _ in range(3))
    store.transaction(lambda conn: jobs.publish(conn, [publication(one.id), publication(three.id)]))
    assert store.transaction(jobs.unpublished) == [two]
    store.transaction(lambda conn: jobs.remove(conn, three.id, LATER))
    assert [job.id for job in store.transaction(jobs.unpublished)] == [two.id, three.id]
    assert len(store.transaction(lambda conn: jobs.unpublished(conn, limit=1))) == 1


def test_a_publication_says_where_a_job_is(store: Store) -> None:
    job = inserted(store)
    nowhere = publication(job.id, node=None, gen=None, placement="no node is alive " * 100)
    store.transaction(lambda conn: jobs.publish(conn, [nowhere]))
    assert got(store, job).placement == str(nowhere.placement)[: schema.REASON_LENGTH]
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id)]))
    published = got(store, job)
    assert (published.assigned_node, published.placement, published.published_rev) == ("alpha", None, 1)
    assert store.transaction(jobs.assignments) == {(job.id, 1): ("alpha", "3-17")}


def test_where_all_jobs_are_is_read_at_once_without_those_that_have_ended(store: Store) -> None:
    placed, waiting, ended = inserted(store), inserted(store), inserted(store)
    store.transaction(lambda conn: jobs.publish(conn, [publication(placed.id), publication(ended.id)]))
    store.transaction(lambda conn: jobs.remove(conn, ended.id, NOW))
    known = store.transaction(jobs.assignments)
    assert known == {(placed.id, 1): ("alpha", "3-17"), (waiting.id, 1): (None, None)}


def test_a_publication_of_an_older_rev_leaves_the_newest_unpublished(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.remove(conn, job.id, NOW))
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=1)]))
    assert [job.published_rev for job in store.transaction(jobs.unpublished)] == [1]
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=2)]))
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=1)]))
    assert got(store, job).published_rev == 2
    assert store.transaction(jobs.unpublished) == []


def test_a_job_may_become_one_of_which_the_nodes_know_no_rev(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id)]))
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=jobs.UNKNOWN)]))
    (unknown,) = store.transaction(jobs.unpublished)
    assert (unknown.assigned_node, unknown.published_rev) == ("alpha", 0)
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=0)]))
    assert got(store, job).published_rev == 0
    store.transaction(lambda conn: jobs.publish(conn, [publication(job.id, rev=1)]))
    assert store.transaction(jobs.unpublished) == []


def test_what_jobs_demand_and_what_is_told_of_them_is_read_at_once(store: Store) -> None:
    wishes = [{}, {"node": "alpha"}, {"requires": {"disk": "ssd"}}, {"node": "beta", "requires": {"a": "b"}}]
    made = [
        store.transaction(lambda conn, wish=wish: jobs.insert(conn, new_job(**wish), "ann", NOW))
        for wish in [*wishes, {"node": "gone"}]
    ]
    store.transaction(lambda conn: jobs.publish(conn, [publication(made[2].id, placement="because")]))
    store.transaction(lambda conn: jobs.publish(conn, [publication(made[4].id, placement="it was")]))
    store.transaction(lambda conn: jobs.remove(conn, made[4].id, NOW))
    assert sorted(store.transaction(jobs.demands)) == [
        (made[1].id, "alpha", {}, Copies.ONE),
        (made[2].id, None, {"disk": "ssd"}, Copies.ONE),
        (made[3].id, "beta", {"a": "b"}, Copies.ONE),
    ]
    assert store.transaction(jobs.explained) == {made[2].id: "because"}


def test_publishing_what_is_no_job_is_an_error_and_publishes_nothing(store: Store) -> None:
    job = inserted(store)
    with pytest.raises(NotFound):
        store.transaction(lambda conn: jobs.publish(conn, [publication(job.id), publication(job.id + 1)]))
    assert store.transaction(jobs.unpublished) == [job]
    store.transaction(lambda conn: jobs.publish(conn, []))


def test_few_unpublished_jobs_are_found_by_an_index(store: Store, url: str) -> None:
    store.transaction(_two_thousand_published)
    explain = "EXPLAIN QUERY PLAN" if url.startswith("sqlite") else "EXPLAIN"
    statement = f"{explain} SELECT id FROM job WHERE unpublished = true ORDER BY id LIMIT 1000"
    plan = store.transaction(lambda conn: str(conn.exec_driver_sql(statement).all()))
    assert "ix_job_unpublished_id" in plan


def _two_thousand_published(conn: Connection) -> None:
    jobs.insert(conn, new_job(), "ann", NOW)
    row = conn.execute(sa.select(schema.job)).one()._asdict() | {"unpublished": False}
    del row["id"]
    conn.execute(sa.insert(schema.job), [row] * 2000)


def test_a_bad_end_puts_a_job_into_error_and_a_later_good_one_out_of_it(store: Store) -> None:
    job = inserted(store)
    for minute, bad in enumerate((RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)):
        assert note(store, job, bad, 2 * minute) is JobStatus.ERROR
        assert note(store, job, RunState.SUCCEEDED, 2 * minute + 1) is JobStatus.SCHEDULED


def test_the_end_of_an_older_run_that_is_told_late_changes_nothing(store: Store) -> None:
    job = inserted(store)
    assert note(store, job, RunState.SUCCEEDED, 5) is JobStatus.SCHEDULED
    assert note(store, job, RunState.FAILED, 4) is JobStatus.SCHEDULED
    assert note(store, job, RunState.FAILED, 6) is JobStatus.ERROR
    assert note(store, job, RunState.SUCCEEDED, 5) is JobStatus.ERROR


def test_the_late_truth_of_the_newest_run_replaces_what_was_assumed(store: Store) -> None:
    job = inserted(store)
    assert note(store, job, RunState.LOST, 5) is JobStatus.ERROR
    assert note(store, job, RunState.SUCCEEDED, 5) is JobStatus.SCHEDULED


def test_a_skipped_or_canceled_run_decides_nothing(store: Store) -> None:
    job = inserted(store)
    assert note(store, job, RunState.FAILED, 1) is JobStatus.ERROR
    for state in (RunState.SKIPPED, RunState.CANCELED, RunState.RUNNING):
        assert note(store, job, state, 9) is JobStatus.ERROR
    assert note(store, job, RunState.SUCCEEDED, 2) is JobStatus.SCHEDULED


def test_a_removed_job_stays_finished_whatever_its_last_run_says(store: Store) -> None:
    job = inserted(store)
    store.transaction(lambda conn: jobs.remove(conn, job.id, NOW))
    assert note(store, job, RunState.FAILED, 1) is JobStatus.FINISHED


def test_a_one_shot_that_was_given_up_and_succeeded_after_all_is_finished(store: Store) -> None:
    job = inserted(store)
    note(store, job, RunState.LOST, 1)
    store.transaction(lambda conn: jobs.finish(conn, job.id, NOW, JobStatus.ERROR))
    assert note(store, job, RunState.SUCCEEDED, 1) is JobStatus.FINISHED
