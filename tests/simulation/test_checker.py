"""The checker as a whole: it knows nothing of the product, and asks for no less than Jepsen's test of Chronos."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from heapq import heappop, heappush
from pathlib import Path
from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.checker import check
from simulation.history import Execution, History
from simulation.spans import Spans
from simulation.tale import BEGIN, TICKS, Tale

HERE = Path(__file__).parent


def imported(module: str, seen: set[str]) -> Iterator[str]:
    """Everything that a module of the checker imports, by way of others too."""
    if module in seen:
        return
    seen.add(module)
    for node in ast.walk(ast.parse((HERE / f"{module}.py").read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            names = [node.module]
        for name in names:
            yield name
            if name.startswith("simulation."):
                yield from imported(name.removeprefix("simulation."), seen)


def test_the_checker_imports_nothing_of_the_product_and_no_package() -> None:
    found = set(imported("checker", set()))
    assert {name.partition(".")[0] for name in found} - sys.stdlib_module_names == {"simulation"}
    assert "simulation.expected" in found


def test_what_no_job_is_known_of_is_complained_of() -> None:
    history = replace(Tale().history(), jobs={})
    assert {each.kind for each in check(history)} == {"stray"}


def test_an_empty_history_is_fine() -> None:
    assert check(replace(Tale().history(), jobs={}, executions=(), told=())) == []


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=8),
    st.integers(0, 50),
    st.integers(1, 40),
)
def test_time_within_spans_is_not_counted(pairs: list[tuple[int, int]], instant: int, seconds: int) -> None:
    covered = {second for begin, length in pairs for second in range(begin, begin + length)}
    end, left = instant, seconds
    while left:
        left -= end not in covered
        end += 1
    spans = Spans((begin, begin + length) for begin, length in pairs)
    assert spans.after(instant, seconds) == end


# A fleet without trouble, worked out by the rules of the page: what it does is never complained of.


def ideal(policy: dict[str, str], lasting: list[int], late: list[int]) -> Tale:
    """Each tick by the policy's rules, one run after the other."""
    tale, free = Tale(**policy), 0.0
    for tick, lasts, delay in zip(TICKS, lasting, late, strict=True):
        begins = float(tick + delay)
        if free > begins and policy["concurrency"] == "forbid" and policy["catch_up"] == "latest":
            tale.skipped(tick, "still_running")
            continue
        if policy["concurrency"] != "allow":
            begins = max(begins, free)
        if begins > 1195:
            tale.silent(tick)
            continue
        tale.ran(tick, begins - tick, min(lasts, 1198 - begins))
        free = max(free, begins + lasts)
    return tale


POLICIES = st.sampled_from(
    [
        {"concurrency": "forbid", "catch_up": "latest"},
        {"concurrency": "forbid", "catch_up": "all"},
        {"concurrency": "allow", "catch_up": "latest"},
        {"concurrency": "allow", "catch_up": "all"},
    ]
)
LASTING = st.lists(st.integers(1, 150), min_size=len(TICKS), max_size=len(TICKS))
LATE = st.lists(st.integers(0, 7), min_size=len(TICKS), max_size=len(TICKS))


@settings(max_examples=150, deadline=None)
@given(POLICIES, LASTING, LATE)
def test_a_fleet_that_does_what_the_page_says_is_not_complained_of(
    policy: dict[str, str], lasting: list[int], late: list[int]
) -> None:
    assert check(ideal(policy, lasting, late).history()) == []


def with_one(history: History, index: int, changed: list[Execution]) -> History:
    begun = list(history.executions)
    begun[index : index + 1] = changed
    return replace(history, executions=tuple(begun))


@settings(max_examples=150, deadline=None)
@given(
    POLICIES,
    LASTING,
    LATE,
    st.integers(0, 100),
    st.sampled_from(["twice", "lost", "late", "early", "renamed"]),
)
def test_and_is_as_soon_as_one_run_of_it_goes_wrong(
    policy: dict[str, str], lasting: list[int], late: list[int], which: int, wrong: str
) -> None:
    history = ideal(policy, lasting, late).history()
    index = which % len(history.executions)
    run = history.executions[index]
    assert run.tick is not None
    assert run.ended is not None
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    changed = {
        "twice": [run, replace(run, node="b", began=run.began + second, ended=run.ended + second)],
        "lost": [],
        "late": [replace(run, began=run.began + hour, ended=run.ended + hour)],
        "early": [replace(run, began=run.tick - second)],
        "renamed": [replace(run, tick=run.tick - second, run_id="1.1.else.1")],
    }[wrong]
    assert check(with_one(history, index, changed)) != []


def unmatched(targets: list[tuple[float, float]], runs: list[float]) -> int:
    """How many targets (from, to) have no run of their own in them, at best: always the one that closes first."""
    waiting, missed, targets = [], 0, sorted(targets)
    for run in [*sorted(runs), float("inf")]:
        while targets and targets[0][0] <= run:
            heappush(waiting, targets.pop(0)[1])
        while waiting and waiting[0] < run:
            heappop(waiting)
            missed += 1
        if waiting:
            heappop(waiting)
    return missed


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TICKS), st.integers(-5, 130)), max_size=30),
    st.sets(st.sampled_from(TICKS)),
)
def test_what_is_not_complained_of_has_a_run_of_its_own_for_each_target_by_the_times_alone(
    begins: list[tuple[int, int]], silent: set[int]
) -> None:
    tale = Tale(concurrency="allow").away("a", 300, 340).silent(*silent)
    for tick, late in begins:
        tale.ran(tick, late, 0.5)
    history = tale.history()
    runs = [(each.began - BEGIN).total_seconds() for each in history.executions]
    targets = [(tick, tick + 8.0 if tick < 290 or tick > 400 else 500.0) for tick in TICKS if tick < 1100]
    if unmatched(targets, runs) or len(runs) > len(TICKS):
        assert check(history) != []


def test_the_matching_of_that_test_finds_what_is_missing() -> None:
    assert unmatched([(0, 5), (10, 15)], [1, 11]) == 0
    assert unmatched([(0, 5), (10, 15)], [1, 2]) == 1
    assert unmatched([(0, 50), (10, 15)], [11, 40]) == 0
    assert unmatched([(0, 12), (10, 15)], [16, 11]) == 1
    assert unmatched([(0, 5)], []) == 1


def test_a_history_of_many_jobs_is_checked_in_a_moment() -> None:
    jobs = 100
    one = Tale().away("a", 300, 340).away("b", 500, 540).history()
    many = replace(
        one,
        jobs=dict.fromkeys(range(jobs), one.jobs[1]),
        executions=tuple(replace(each, job_id=job) for job in range(jobs) for each in one.executions),
        told=tuple(replace(each, job_id=job) for job in range(jobs) for each in one.told),
    )
    begin = process_time()
    assert check(many) == []
    assert process_time() - begin < 5
