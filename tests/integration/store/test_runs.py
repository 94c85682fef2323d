"""Runs in SQL: one contract on both databases."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.promise import blank
from support.samples import NOW, TICK, at_once, hand_run, report

from cronkeeper.common.errors import NotFound
from cronkeeper.common.model import Output, Report, Run, RunState, StartedBy, tick_run_id
from cronkeeper.common.store import runs
from cronkeeper.common.store.runs import Stream
from cronkeeper.common.store.store import Store

ID = tick_run_id(1, 0, TICK, 1)
LATER = NOW + timedelta(minutes=5)
STORY = [report(state) for state in (RunState.CLAIMED, RunState.RUNNING, RunState.SUCCEEDED)]
ANY_BYTES = bytes(range(256)) * 3 + b"\\'\"%s%(x)s\x00\x1a"


def record(store: Store, one: Report) -> Run | None:
    return store.transaction(lambda conn: runs.record(conn, one, NOW))


def record_many(store: Store, some: list[Report]) -> list[Run]:
    return store.transaction(lambda conn: runs.record_many(conn, some, NOW))


def got(store: Store, run_id: str = ID) -> Run:
    return store.transaction(lambda conn: runs.get(conn, run_id))


def output(store: Store, stream: Stream, run_id: str = ID) -> Output | None:
    return store.transaction(lambda conn: runs.output(conn, run_id, stream))


def request(store: Store, one: Run) -> None:
    store.transaction(lambda conn: runs.request(conn, one))


def newest_after(store: Store, before: tuple[datetime, str] | None) -> list[Run]:
    return store.transaction(lambda conn: runs.listing(conn, 1, limit=1, before=before))


def lose(store: Store, run_id: str = ID) -> bool:
    return store.transaction(lambda conn: runs.lose(conn, run_id, "alpha is gone", LATER))


def finished() -> Run:
    """What the three reports of `STORY` add up to."""
    run = None
    for one in STORY:
        run = runs.advance(run, one, NOW)
    assert run is not None
    return run


def test_a_request_is_queued_and_read_as_it_was_written(store: Store) -> None:
    asked = hand_run()
    request(store, asked)
    assert got(store, asked.id) == asked


def test_a_request_that_is_repeated_is_one_run(store: Store) -> None:
    asked = hand_run()
    request(store, asked)
    request(store, replace(asked, requested_by="bob"))
    assert got(store, asked.id) == asked


def test_a_run_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match=r"^there is no run 1.0.x$"):
        got(store, "1.0.x")


def test_many_runs_are_read_at_once_without_those_that_are_not_there(store: Store) -> None:
    run = hand_run()
    store.transaction(lambda conn: runs.request(conn, run))
    assert store.transaction(lambda conn: runs.by_ids(conn, [run.id, "1.1.none.1"])) == {run.id: run}
    assert store.transaction(lambda conn: runs.by_ids(conn, [])) == {}


def test_the_listing_shows_the_newest_first_in_pages(store: Store) -> None:
    moments = (NOW, NOW, NOW - timedelta(microseconds=1), NOW + timedelta(microseconds=1))
    some = [hand_run(f"r{n}", created_at=moment) for n, moment in enumerate(moments)]
    for one in (*some, hand_run("other", job_id=2)):
        request(store, one)
    newest_first = [some[3], some[1], some[0], some[2]]
    assert store.transaction(lambda conn: runs.listing(conn, 1)) == newest_first
    last = None
    for expected in newest_first:
        assert newest_after(store, last) == [expected]
        last = (expected.created_at, expected.id)


def test_a_run_is_inserted_by_its_first_report(store: Store) -> None:
    run = record(store, STORY[0])
    assert run == got(store)
    assert run is not None
    assert (run.id, run.job_id, run.tick, run.created_at) == (ID, 1, TICK, NOW)
    assert (run.state, run.node, run.gen, run.claimed_at) == (RunState.CLAIMED, "alpha", "1-1", NOW)


def test_a_run_goes_from_report_to_report_to_its_end(store: Store) -> None:
    states = []
    for one in STORY:
        run = record(store, one)
        assert run == got(store)
        states.append(got(store).state)
    assert states == [RunState.CLAIMED, RunState.RUNNING, RunState.SUCCEEDED]
    assert got(store).exit_code == 0


def test_a_repeated_or_older_report_changes_nothing(store: Store) -> None:
    for one in STORY:
        record(store, one)
    for one in (*STORY, report(RunState.LOST), report(RunState.FAILED, exit_code=9)):
        assert record(store, one) is None
    assert got(store) == finished()


def test_a_report_does_not_erase_what_is_known(store: Store) -> None:
    record(store, report(RunState.RUNNING))
    run = record(store, report(RunState.FAILED, claimed_at=None, started_at=None, exit_code=0))
    assert run is not None
    assert (run.claimed_at, run.started_at, run.exit_code) == (NOW, NOW + timedelta(seconds=1), 0)


def test_a_requested_run_keeps_who_asked_for_it(store: Store) -> None:
    asked = hand_run()
    request(store, asked)
    said = report(RunState.RUNNING, run_id=asked.id, tick=None, started_by=StartedBy.HAND)
    run = record(store, said)
    assert run is not None
    assert (run.requested_by, run.node, run.state) == ("ann", "alpha", RunState.RUNNING)


def test_a_late_truth_replaces_what_was_assumed_of_a_lost_run(store: Store) -> None:
    record(store, report(RunState.RUNNING))
    assert lose(store)
    assert (got(store).state, got(store).reason, got(store).ended_at) == (
        RunState.LOST,
        "alpha is gone",
        LATER,
    )
    record(store, STORY[-1])
    assert got(store) == finished()


def test_only_a_run_that_has_not_ended_can_be_lost(store: Store) -> None:
    assert not lose(store)
    record(store, STORY[-1])
    assert not lose(store)
    for state in (RunState.CLAIMED, RunState.RUNNING):
        record(store, report(state, run_id=state.value))
        assert lose(store, state.value)
        assert not lose(store, state.value)


def test_a_long_reason_is_cut(store: Store) -> None:
    run = record(store, report(RunState.FAILED, reason="€" * 5000))
    assert run is not None
    assert run == got(store)
    assert run.reason == "€" * 1000


def test_outputs_are_kept_byte_by_byte(store: Store) -> None:
    stdout = Output(size=2**40, data=ANY_BYTES)
    record(store, report(RunState.FAILED, stdout=stdout))
    assert output(store, Stream.STDOUT) == stdout
    assert output(store, Stream.STDERR) is None


def test_the_outputs_of_a_late_truth_replace_those_of_before(store: Store) -> None:
    record(store, report(RunState.LOST, stdout=Output(size=1, data=b"?"), stderr=Output(size=1, data=b"!")))
    record(store, report(RunState.FAILED, stdout=Output(size=2, data=b"ok")))
    assert output(store, Stream.STDOUT) == Output(size=2, data=b"ok")
    assert output(store, Stream.STDERR) == Output(size=1, data=b"!")
    record(store, report(RunState.SUCCEEDED))
    assert output(store, Stream.STDOUT) == Output(size=2, data=b"ok")


def test_a_batch_may_hold_all_reports_of_many_runs(store: Store) -> None:
    batch = [replace(one, run_id=f"{n}", job_id=n) for n in range(600) for one in STORY]
    random.Random(1).shuffle(batch)
    changed = record_many(store, batch)
    assert {run.id for run in changed} == {f"{n}" for n in range(600)}
    assert {run.state for run in changed} == {RunState.SUCCEEDED}
    assert got(store, "599") == replace(finished(), id="599", job_id=599)
    assert output(store, Stream.STDOUT, "599") == STORY[-1].stdout
    assert record_many(store, batch) == []
    assert record_many(store, []) == []


def test_a_batch_of_large_outputs_is_taken_in_parts(store: Store) -> None:
    large = Output(size=10**9, data=ANY_BYTES * 1000)
    batch = [report(RunState.SUCCEEDED, run_id=f"{n}", stdout=large, stderr=large) for n in range(30)]
    assert len(record_many(store, batch)) == 30
    assert output(store, Stream.STDERR, "29") == large


def test_a_batch_holds_new_known_and_repeated_reports_at_once(store: Store) -> None:
    record_many(store, [replace(STORY[0], run_id="known"), replace(STORY[2], run_id="ended")])
    changed = record_many(store, [replace(STORY[1], run_id=one) for one in ("known", "ended", "new")])
    assert {run.id for run in changed} == {"known", "new"}


@pytest.fixture(scope="module")
def memory() -> Iterator[Store]:
    """A database in memory."""
    store = Store("sqlite://")
    store.upgrade()
    yield store
    store.close()


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_reports_in_any_order_batches_and_number_end_the_same(memory: Store, data: st.DataObject) -> None:
    told = data.draw(st.permutations(STORY + data.draw(st.lists(st.sampled_from(STORY), max_size=5))))
    cuts = data.draw(st.lists(st.integers(1, len(told)), max_size=len(told)))
    loses_at = data.draw(st.integers(0, len(told)))
    store = blank(memory)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(told)], strict=True):
        record_many(store, told[begin:end])
        if begin <= loses_at:
            lose(store)
    assert got(store) == finished()
    assert output(store, Stream.STDOUT) == STORY[-1].stdout


def test_eight_threads_that_report_one_run_in_any_order_end_the_same(store: Store) -> None:
    def tell(seed: int) -> int:
        told = random.Random(seed).sample(STORY, len(STORY))
        return sum(record(store, one) is not None for one in told)

    changes = at_once([partial(tell, seed) for seed in range(8)])
    assert got(store) == finished()
    assert 1 <= sum(changes) <= len(STORY)
    assert output(store, Stream.STDOUT) == STORY[-1].stdout


def test_of_eight_threads_with_the_same_new_reports_one_inserts_each(store: Store) -> None:
    batch = [replace(STORY[0], run_id=f"{n}") for n in range(50)]

    def tell(seed: int) -> list[str]:
        return [run.id for run in record_many(store, random.Random(seed).sample(batch, 50))]

    told = at_once([partial(tell, seed) for seed in range(8)])
    assert sorted(run_id for some in told for run_id in some) == sorted(one.run_id for one in batch)


def test_a_run_that_is_lost_and_told_at_the_same_moment_ends_with_the_truth(store: Store) -> None:
    for n in range(20):
        record(store, report(RunState.RUNNING, run_id=f"{n}"))
        truth = report(RunState.SUCCEEDED, run_id=f"{n}")
        at_once([partial(lose, store, f"{n}"), partial(record, store, truth)])
        assert got(store, f"{n}") == replace(finished(), id=f"{n}")


def test_of_two_threads_that_end_a_run_differently_one_wins(store: Store) -> None:
    for n in range(20):
        ends = [report(state, run_id=f"{n}") for state in (RunState.SUCCEEDED, RunState.FAILED)]
        record(store, report(RunState.RUNNING, run_id=f"{n}"))
        told = at_once([partial(record, store, one) for one in ends])
        assert [run for run in told if run is not None] == [got(store, f"{n}")]


def test_ids_that_differ_in_case_only_are_different_runs(store: Store) -> None:
    record(store, report(RunState.CLAIMED, run_id="1.0.hand-a.1"))
    assert record(store, report(RunState.CLAIMED, run_id="1.0.hand-A.1")) is not None
