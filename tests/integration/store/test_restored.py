"""What SQL is told where it was put back is the same on each database."""

from datetime import timedelta

import pytest
from support.samples import NOW, hand_run, new_job

from cronkeeper.common.errors import Conflict
from cronkeeper.common.ledger import Span
from cronkeeper.common.model import Node, RunState, replace
from cronkeeper.common.store import jobs, leader, nodes, restored, runs
from cronkeeper.common.store.leader import PutBack
from cronkeeper.common.store.restored import LEAP
from cronkeeper.common.store.store import Store
from cronkeeper.manager.publish import spec_of

LATER = NOW + timedelta(hours=1)


def test_numbers_go_on_far_above_those_that_are_known_also_after_a_row_is_gone(store: Store) -> None:
    job = store.transaction(lambda c: jobs.insert(c, new_job(), "ann", NOW))
    last = store.transaction(lambda c: restored.number_above(c, job.id + 7, NOW), writes=True)
    assert last == job.id + 7 + LEAP
    following = store.transaction(lambda c: jobs.insert(c, new_job(), "ann", NOW))
    assert following.id > last
    assert [each.id for each in store.transaction(jobs.not_ended)] == [job.id, following.id]
    again = store.transaction(lambda c: restored.number_above(c, 1, NOW), writes=True)
    assert again == following.id + LEAP


def test_a_job_is_known_again_by_its_spec_as_it_was(store: Store) -> None:
    job = store.transaction(lambda c: jobs.insert(c, new_job(env={"A": "b"}, args=("x",)), "ann", NOW))
    lost = replace(spec_of(job, 1), job_id=job.id + 500, rev=4)
    store.transaction(lambda c: restored.put_back(c, lost, LATER), writes=True)
    found = store.transaction(lambda c: jobs.get(c, lost.job_id))
    assert spec_of(found, 1) == lost
    assert (found.published_rev, found.created_by, found.updated_at) == (4, "cronkeeper", LATER)


def test_a_job_is_published_again_as_a_rev_that_it_is_given(store: Store) -> None:
    job = store.transaction(lambda c: jobs.insert(c, new_job(), "ann", NOW))
    published = jobs.Publication(job_id=job.id, rev=1, node="alpha", gen="1-1", placement=None)
    store.transaction(lambda c: jobs.publish(c, [published]))
    assert store.transaction(jobs.unpublished) == []
    again = restored.Again(job, 9, LATER, nowhere=True)
    store.transaction(lambda c: restored.publish_again(c, again, LATER))
    with pytest.raises(Conflict, match="edited meanwhile"):
        store.transaction(lambda c: restored.publish_again(c, again, LATER))
    (found,) = store.transaction(jobs.unpublished)
    assert (found.rev, found.published_rev, found.effective_from, found.assigned_node) == (9, 0, LATER, None)


def test_times_of_which_only_a_part_is_known_come_in_order_and_to_the_microsecond(store: Store) -> None:
    first = Span(NOW + timedelta(microseconds=1), LATER)
    second = Span(NOW, LATER + timedelta(seconds=1))
    store.transaction(lambda c: restored.note(c, 4, first))
    store.transaction(lambda c: restored.note(c, 7, second))
    assert store.transaction(restored.spans) == [first, second]


def test_a_node_without_a_key_is_given_one_by_adding_it_and_another_one_keeps_its_own(store: Store) -> None:
    store.transaction(lambda c: nodes.add(c, Node(name="alpha", public_key="a", added_at=NOW)))
    assert store.transaction(lambda c: restored.let_in(c, {"alpha", "beta"}, NOW)) == ["beta"]
    assert store.transaction(lambda c: nodes.add(c, Node(name="beta", public_key="b", added_at=LATER)))
    known = store.transaction(nodes.listing)
    assert [each.public_key for each in known] == ["a", "b"]
    with pytest.raises(Conflict):
        store.transaction(lambda c: nodes.add(c, Node(name="beta", public_key="c", added_at=LATER)))


def test_runs_that_have_not_ended_are_given_up_but_for_those_that_are_listed(store: Store) -> None:
    job = store.transaction(lambda c: jobs.insert(c, new_job(), "ann", NOW))
    asked = [hand_run(letter, job_id=job.id, copy=1) for letter in "abc"]
    ids = [each.id for each in asked]
    store.transaction(lambda c: [runs.request(c, each) for each in asked])
    assert store.transaction(lambda c: restored.lose_runs(c, {ids[1]}, "why", LATER), writes=True) == 2
    found = store.transaction(lambda c: runs.by_ids(c, ids))
    assert [found[run_id].state for run_id in ids] == [RunState.LOST, RunState.QUEUED, RunState.LOST]


def test_a_mark_is_not_written_where_sql_does_not_know_the_one_before(store: Store) -> None:
    store.transaction(lambda c: leader.take(c, 0, 3, "one"))
    store.transaction(lambda c: leader.note_mark(c, 3, 40, NOW, noted=0))
    assert store.transaction(leader.state) == leader.State(3, 40, NOW)
    with pytest.raises(PutBack, match="it is at mark 40, and was at 41"):
        store.transaction(lambda c: leader.note_mark(c, 3, 42, LATER, noted=41))
    assert store.transaction(leader.state) == leader.State(3, 40, NOW)
    with pytest.raises(PutBack, match="it is at epoch 3, and was at 4"):
        store.transaction(lambda c: leader.note_mark(c, 4, 42, LATER, noted=40))
