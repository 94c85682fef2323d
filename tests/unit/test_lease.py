"""The right to act: counted from when it was asked for, and never longer than it was given."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.common.clock import boottime
from cronkeeper.common.coordination.embedded import EmbeddedServer, EmbeddedTree
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.errors import Unavailable

_times = st.floats(0, 1e9)


def test_there_is_no_right_before_the_first_answer() -> None:
    lease = Lease(6.0)
    assert lease.deadline == -math.inf
    assert not lease.may_act(0.0)


def test_a_right_lasts_two_thirds_of_the_session_timeout_from_when_it_was_asked_for() -> None:
    lease = Lease(6.0)
    lease.renewed(100.0)
    assert lease.deadline == 104.0
    assert lease.may_act(103.999)
    assert not lease.may_act(104.0)


@given(st.lists(_times, min_size=1))
def test_the_newest_question_counts_in_whatever_order_the_answers_come(sent: list[float]) -> None:
    lease = Lease(6.0)
    for sent_at in sent:
        before = lease.deadline
        lease.renewed(sent_at)
        assert lease.deadline >= before
    assert lease.deadline == max(sent) + 4.0


@given(_times)
def test_the_embedded_trees_right_never_ends(now: float) -> None:
    lease = Lease(None)
    assert lease.may_act(now)
    lease.renewed(0.0)
    assert lease.deadline == math.inf
    assert lease.may_act(now)


def test_renewing_counts_from_before_the_question() -> None:
    ticks = iter([10.0, 20.0])
    lease = Lease(6.0, clock=lambda: next(ticks))
    tree = EmbeddedServer(None).connect()
    lease.renew(tree)
    assert lease.deadline == 14.0


def test_a_question_without_an_answer_renews_nothing() -> None:
    lease = Lease(6.0, clock=lambda: 10.0)
    tree = _cut_off()
    lease.renewed(1.0)
    with pytest.raises(Unavailable):
        lease.renew(tree)
    assert lease.deadline == 5.0


def test_the_clock_is_the_one_that_counts_suspended_time() -> None:
    lease = Lease(6.0)
    before = boottime()
    lease.renew(EmbeddedServer(None).connect())
    assert before + 4.0 <= lease.deadline <= boottime() + 4.0


def _cut_off() -> EmbeddedTree:
    tree = EmbeddedServer(None).connect()
    tree.disconnect()
    return tree


def test_a_shorter_session_than_was_asked_for_makes_a_shorter_right() -> None:
    lease = Lease(6.0, clock=lambda: 100.0)
    lease.renew(EmbeddedServer(None).connect(session_timeout=3.0))
    assert lease.deadline == 102.0
