"""When the worker's own clock looks at a job next."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.worker.agenda import Agenda

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def test_nothing_is_due_in_an_empty_agenda() -> None:
    agenda = Agenda()
    assert agenda.next() is None
    assert agenda.due(at(0)) == []


def test_a_job_is_due_at_its_instant_and_only_once() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    assert agenda.due(at(9)) == []
    assert agenda.next() == at(10)
    assert agenda.due(at(10)) == [(1, 1)]
    assert agenda.due(at(10)) == []
    assert agenda.next() is None


def test_an_instant_that_is_set_again_replaces_the_one_before() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    agenda.set((1, 1), at(20))
    assert agenda.due(at(15)) == []
    agenda.set((1, 1), at(5))
    assert agenda.due(at(30)) == [(1, 1)]


def test_a_job_may_be_struck_out_and_come_back() -> None:
    agenda = Agenda()
    agenda.set((1, 1), at(10))
    agenda.set((1, 1), None)
    agenda.set((2, 1), None)
    assert agenda.next() is None
    agenda.set((1, 1), at(10))
    assert agenda.due(at(10)) == [(1, 1)]


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
            due = {job for job, seconds in model.items() if seconds <= step}
            assert sorted(agenda.due(at(step))) == sorted((job, 1) for job in due)
            model = {job: seconds for job, seconds in model.items() if job not in due}
        assert agenda.next() == (at(min(model.values())) if model else None)
