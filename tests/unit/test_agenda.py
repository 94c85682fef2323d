"""Which jobs come up in a round: those that were touched, those that are due, those that have waited."""

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.common.model import StartedBy
from cronkeeper.worker.agenda import Agenda
from cronkeeper.worker.assignment import JobKey

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = StartedBy.CLOCK


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def due(agenda: Agenda, seconds: int) -> list[JobKey]:
    agenda.touch_due(at(seconds), CLOCK)
    return list(agenda.take(100))


def test_nothing_comes_up_in_an_empty_agenda() -> None:
    agenda = Agenda()
    assert agenda.wait(at(0), 0.0) == math.inf
    assert due(agenda, 0) == []


def test_a_job_is_due_at_its_instant_and_only_once() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    assert due(agenda, 9) == []
    assert agenda.wait(at(7), 0.0) == 3
    assert due(agenda, 10) == [(1, 1)]
    assert due(agenda, 10) == []
    assert agenda.wait(at(10), 0.0) == math.inf


def test_an_instant_that_is_set_again_replaces_the_one_before() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    agenda.set((1, 1), at(20))
    assert due(agenda, 15) == []
    agenda.set((1, 1), at(5))
    assert due(agenda, 30) == [(1, 1)]


def test_a_job_may_be_struck_out_and_come_back() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    agenda.set((1, 1), None)
    agenda.set((2, 1), None)
    assert agenda.wait(at(0), 0.0) == math.inf
    agenda.set((1, 1), at(10))
    assert due(agenda, 10) == [(1, 1)]


def test_it_is_known_how_many_jobs_are_due_at_one_instant() -> None:
    agenda = Agenda()
    for job, seconds in ((1, 10), (2, 10), (3, 20), (2, 10), (3, 10), (1, 20)):
        agenda.set((job, 1), at(seconds))
    assert [agenda.planned(at(seconds)) for seconds in (10, 20, 30)] == [2, 1, 0]
    agenda.set((2, 1), None)
    assert due(agenda, 10) == [(3, 1)]
    assert [agenda.planned(at(seconds)) for seconds in (10, 20)] == [0, 1]


def test_what_was_touched_is_looked_at_at_once_a_few_at_a_time_and_in_its_order() -> None:
    agenda = Agenda()
    for job in (3, 1, 2):
        agenda.touch((job, 1))
    assert agenda.wait(at(0), 0.0) == 0
    assert list(agenda.take(2)) == [(3, 1), (1, 1)]
    agenda.touch((3, 1))
    assert list(agenda.take(2)) == [(2, 1), (3, 1)]
    assert agenda.take(2) == {}


def test_what_cron_filed_is_told_from_what_the_clock_found_and_that_from_a_mere_touch() -> None:
    agenda = Agenda()
    for trigger in (None, CLOCK, StartedBy.CRON, CLOCK, None):
        agenda.touch((1, 1), trigger)
    assert agenda.take(1) == {(1, 1): StartedBy.CRON}
    agenda.touch((1, 1), CLOCK)
    agenda.touch((1, 1))
    assert agenda.take(1) == {(1, 1): CLOCK}


def test_a_wait_is_over_by_the_leases_clock_and_leaves_the_instant_alone() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    agenda.touch_at((1, 1), 102.0)
    agenda.touch_at((1, 1), 101.0)
    assert agenda.wait(at(0), 100.0) == 1
    agenda.touch_waited(101.5)
    assert agenda.take(9) == {(1, 1): None}
    assert agenda.wait(at(0), 101.5) == 0.5
    agenda.touch_waited(102.0)
    assert agenda.take(9) == {(1, 1): None}
    assert agenda.wait(at(0), 102.0) == 10


_entries = st.tuples(st.integers(1, 4), st.one_of(st.none(), st.integers(0, 50)))


@given(st.lists(st.one_of(_entries, st.integers(0, 50))))
def test_it_is_a_table_of_instants(steps: list[tuple[int, int | None] | int]) -> None:
    """An int is a look at that second, a pair an entry: the model is a dict."""
    agenda, model = Agenda(), {}
    for step in steps:
        if isinstance(step, tuple):
            job, seconds = step
            agenda.set((job, 1), None if seconds is None else at(seconds))
            model.pop(job, None)
            if seconds is not None:
                model[job] = seconds
        else:
            expected = {job for job, seconds in model.items() if seconds <= step}
            assert sorted(due(agenda, step)) == sorted((job, 1) for job in expected)
            model = {job: seconds for job, seconds in model.items() if job not in expected}
        assert agenda.wait(at(0), 0.0) == (min(model.values()) if model else math.inf)
