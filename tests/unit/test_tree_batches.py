"""Operations are joined into few batches, none too large, and no group is torn apart."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.common.coordination.checks import batch_bytes, check_batch
from cronkeeper.common.coordination.tree import MAX_BATCH_BYTES, Check, Create, Delete, Op, SetData, batches
from cronkeeper.common.errors import Invalid

LIMIT = 1000
_ops = st.builds(Create, st.just("/a"), st.binary(max_size=300))
_groups = st.lists(st.lists(_ops, min_size=1, max_size=4), max_size=30)


@given(_groups)
def test_all_operations_come_in_order_and_groups_stay_whole(groups: list[list[Op]]) -> None:
    joined = list(batches(groups, LIMIT))
    assert [op for batch in joined for op in batch] == [op for group in groups for op in group]
    ends = {0}
    for batch in joined:
        ends.add(max(ends) + len(batch))
    starts = {0}
    for group in groups:
        starts.add(max(starts) + len(group))
    assert ends <= starts


@given(_groups)
def test_no_batch_of_more_than_one_group_is_too_large_and_no_two_neighbours_would_fit_into_one(
    groups: list[list[Op]],
) -> None:
    joined = list(batches(groups, LIMIT))
    for batch in joined:
        assert batch_bytes(batch) <= LIMIT or batch in groups
    for left, right in itertools.pairwise(joined):
        first_group = next(group for group in groups if group[0] is right[0])
        assert batch_bytes(left) + batch_bytes(first_group) > LIMIT


def test_nothing_makes_no_batch() -> None:
    assert list(batches([])) == []


@pytest.mark.parametrize(
    ("ops", "complaint"),
    [
        ([Create("a")], "'a' is not a path"),
        ([Create("/a"), SetData("/b/", b"", 0)], "'/b/' is not a path"),
        ([Delete("/", 0)], "root"),
        ([Check("/a", -1)], "version -1 of /a"),
        ([Create("/a", b"x" * MAX_BATCH_BYTES)], f"at most {MAX_BATCH_BYTES}"),
    ],
)
def test_a_batch_that_no_tree_would_take_is_refused_with_a_reason(ops: list[Op], complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        check_batch(ops)


def test_the_largest_batch_that_is_joined_is_taken() -> None:
    groups = [[Create(f"/{i:06}", b"x" * 10_000)] for i in range(200)]
    for batch in batches(groups):
        check_batch(batch)
