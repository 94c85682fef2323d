"""Copies in SQL: their numbers, what is known of each, and what their job is by that."""

import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Connection
from support.samples import NOW, at_once, new_job

from cronkeeper.common.model import Copies, Job, JobStatus, Node
from cronkeeper.common.store import copies, jobs, nodes
from cronkeeper.common.store.jobs import LOST, Publication
from cronkeeper.common.store.store import Store


@pytest.fixture
def job(store: Store) -> Job:
    """A job with copies 2 on alpha and 3 on beta, which nodes do not know of yet."""

    def work(connection: Connection) -> Job:
        for name in ("alpha", "beta"):
            nodes.add(connection, Node(name=name, public_key="key", added_at=NOW))
        copies.number_nodes(connection)
        made = jobs.insert(connection, new_job(copies=Copies.ALL), "ann", NOW)
        copies.begin(connection, {(made.id, 2): "alpha", (made.id, 3): "beta"}.items(), NOW)
        return made

    return store.transaction(work)


def published(job: Job, copy: int, rev: int, gen: str | None = "1-1") -> Publication:
    return Publication(job_id=job.id, rev=rev, node="n", gen=gen, placement=None, copy=copy)


def rev_of(store: Store, job: Job) -> int:
    """The one that is published; whether the leader's look finds the job goes by that."""
    found = store.transaction(lambda connection: jobs.get(connection, job.id))
    waiting = store.transaction(jobs.unpublished)
    assert [each.id for each in waiting] == ([job.id] if found.rev > found.published_rev else [])
    return found.published_rev


def publish(store: Store, *publications: Publication) -> None:
    store.transaction(lambda connection: jobs.publish(connection, publications))


def test_numbers_are_given_once_and_never_again(store: Store, job: Job) -> None:
    assert store.transaction(nodes.roll).numbers == {"alpha": 2, "beta": 3}

    def work(connection: Connection) -> None:
        nodes.remove(connection, "beta")
        for name in ("beta", "gamma"):
            nodes.add(connection, Node(name=name, public_key="key", added_at=NOW))
        copies.number_nodes(connection)

    store.transaction(work)
    assert store.transaction(nodes.roll).numbers == {"alpha": 2, "beta": 4, "gamma": 5}


def test_a_copy_that_is_begun_again_counts_since_the_first_time(store: Store, job: Job) -> None:
    wanted = {(job.id, 2): "alpha", (job.id, 4): "gamma"}
    later = NOW + timedelta(hours=1)
    found = store.transaction(lambda connection: copies.begin(connection, wanted.items(), later))
    assert {key: each.since for key, each in found.items()} == {(job.id, 2): NOW, (job.id, 4): later}


def test_a_job_is_published_as_far_as_its_copies_on_nodes(store: Store, job: Job) -> None:
    publish(store, published(job, 2, 1))
    assert rev_of(store, job) == 1
    store.transaction(
        lambda c: jobs.edit(c, jobs.get(c, job.id), new_job(copies=Copies.ALL, timeout=5.0), NOW, NOW)
    )
    publish(store, published(job, 2, 2), published(job, 3, 1))
    assert rev_of(store, job) == 1
    publish(store, published(job, 3, 1, gen=None))
    assert rev_of(store, job) == 2
    publish(store, published(job, 2, jobs.UNKNOWN))
    assert rev_of(store, job) == 0


def test_a_claim_that_is_lost_is_known_by_its_node_and_keeps_nobody_looking(store: Store, job: Job) -> None:
    publish(store, published(job, 2, 1), published(job, 3, 1))
    store.transaction(jobs.lose_claims)
    assert rev_of(store, job) == 0
    assert store.transaction(jobs.assignments) == {(job.id, 2): ("alpha", LOST), (job.id, 3): ("beta", LOST)}
    publish(store, published(job, 2, 0, gen=None), published(job, 3, 1, gen="2-1"))
    assert store.transaction(jobs.assignments) == {(job.id, 2): ("alpha", LOST), (job.id, 3): ("beta", "2-1")}
    assert rev_of(store, job) == 1


def test_a_job_is_in_error_while_one_of_its_copies_is(store: Store, job: Job) -> None:
    def status(copy: int, seconds: float, *, bad: bool) -> JobStatus:
        moment = NOW + timedelta(seconds=seconds)
        store.transaction(lambda connection: copies.note_outcome(connection, (job.id, copy), moment, bad=bad))
        return store.transaction(lambda connection: jobs.get(connection, job.id)).status

    assert status(2, 60, bad=True) is JobStatus.ERROR
    assert status(3, 60, bad=False) is JobStatus.ERROR
    assert status(2, 30, bad=False) is JobStatus.ERROR
    assert status(2, 120, bad=False) is JobStatus.SCHEDULED
    assert status(3, 120, bad=True) is JobStatus.ERROR
    store.transaction(lambda connection: copies.end(connection, [3], NOW))
    assert store.transaction(lambda connection: jobs.get(connection, job.id)).status is JobStatus.SCHEDULED


def test_of_two_ends_that_come_in_at_once_the_second_sees_the_first(store: Store, job: Job) -> None:
    """SQLite has one writer at a time: there the other one waits from its beginning."""
    for copy in (2, 3):
        store.transaction(partial(copies.note_outcome, key=(job.id, copy), moment=NOW, bad=True))
    both = threading.Barrier(2)

    def end(copy: int, connection: Connection) -> None:
        copies.note_outcome(connection, (job.id, copy), NOW + timedelta(seconds=60), bad=False)
        with suppress(threading.BrokenBarrierError):
            both.wait(1)  # until the other is as far, or can't be because of us

    at_once([partial(store.transaction, partial(end, copy)) for copy in (2, 3)])
    assert store.transaction(lambda connection: jobs.get(connection, job.id)).status is JobStatus.SCHEDULED
