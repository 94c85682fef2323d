"""Which node gets a job: fair, and the same answer for the same question."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.manager.placement import place

_nodes = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 30), max_size=8)
_jobs = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 3)), unique=True, max_size=60)


def test_a_job_goes_to_the_node_with_the_fewest() -> None:
    assert place([(7, 1)], {"alpha": 2, "beta": 1, "gamma": 2}, {}) == {(7, 1): "beta"}


def test_between_equals_the_name_decides() -> None:
    assert place([(1, 1), (2, 1), (3, 1)], {"beta": 0, "alpha": 0}, {}) == {
        (1, 1): "alpha",
        (2, 1): "beta",
        (3, 1): "alpha",
    }


def test_without_a_live_node_no_job_is_placed() -> None:
    assert place([(1, 1)], {}, {}) == {}


def test_a_job_that_may_be_on_one_node_only_is_there_or_nowhere() -> None:
    bound = {1: "beta", 2: "gone", 4: "beta"}
    assert place([(1, 1), (2, 1), (3, 1), (4, 1)], {"alpha": 1, "beta": 0}, bound) == {
        (1, 1): "beta",
        (3, 1): "alpha",
        (4, 1): "beta",
    }


@given(_jobs, _nodes)
def test_every_job_gets_a_live_node_in_whatever_order_they_are_asked_about(
    jobs: list[tuple[int, int]], load: dict[str, int]
) -> None:
    placed = place(jobs, load, {})
    assert placed.keys() == (set(jobs) if load else set())
    assert set(placed.values()) <= load.keys()
    assert place(reversed(jobs), dict(reversed(load.items())), {}) == placed


@given(_jobs, _nodes.filter(bool))
def test_a_job_never_goes_to_a_node_that_has_more_than_another(
    jobs: list[tuple[int, int]], load: dict[str, int]
) -> None:
    got = Counter(place(jobs, load, {}).values())
    after = {node: count + got[node] for node, count in load.items()}
    for node in got:
        assert after[node] - 1 <= min(after.values())
