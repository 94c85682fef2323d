"""How fast reports go: no node in step with another, and small batches while there is trouble."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.common.errors import Unavailable
from cronkeeper.worker.pace import FIRST, LONGEST_WISH, MAX_BATCH, MOST, PROBE, NotTaken, Pace

AWAY = Unavailable("the API is away")


@given(st.integers(0, 2**32))
def test_pauses_are_random_and_grow_up_to_a_bound(seed: int) -> None:
    pace = Pace(random.Random(seed).random)
    pauses = [pace.failed(AWAY) for _ in range(50)]
    assert all(0 <= pause <= min(FIRST * 2**number, MOST) for number, pause in enumerate(pauses))
    assert len(set(pauses)) == 50
    pace.went_well()
    assert pace.failed(AWAY) <= FIRST


def test_a_thousand_nodes_that_were_cut_off_at_one_moment_come_back_spread_over_the_longest_pause() -> None:
    paces = [Pace(random.Random(seed).random) for seed in range(1000)]
    times = [sum(pace.failed(AWAY) for _ in range(10)) for pace in paces]
    by_second = [sum(int(time) == second for time in times) for second in range(100)]
    assert max(by_second) < 100


def test_the_wish_of_the_api_comes_before_chance_and_is_not_heeded_for_ever() -> None:
    pace = Pace(lambda: 0.5)
    assert pace.failed(NotTaken("busy", retry_after=3.0)) == 3.0 + FIRST / 2
    assert pace.failed(NotTaken("busy", retry_after=1e9)) == LONGEST_WISH + FIRST


@pytest.mark.parametrize("error", [NotTaken("slow", too_much=True), NotTaken("500", refused=True)])
def test_batches_become_smaller_down_to_one_where_that_may_help(error: NotTaken) -> None:
    pace = Pace()
    sizes = []
    for _ in range(5):
        pace.failed(error)
        sizes.append(pace.batch)
    assert sizes == [25, 6, 1, 1, 1]
    assert pace.batch_bytes > 0


def test_batches_begin_small_after_a_failure_and_grow_again() -> None:
    pace = Pace()
    for _ in range(3):
        pace.failed(AWAY)
    sizes = [pace.batch]
    for _ in range(4):
        pace.went_well()
        sizes.append(pace.batch)
    assert sizes == [PROBE, 50, 100, MAX_BATCH, MAX_BATCH]


def test_the_first_failure_is_worth_a_line_and_those_after_it_only_once_it_lasts() -> None:
    pace = Pace(lambda: 0.0)
    told = []
    for _ in range(7):
        told.append(pace.told)
        pace.failed(AWAY)
    assert told == [True, False, False, False, False, True, True]
