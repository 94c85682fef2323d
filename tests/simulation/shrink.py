"""Takes out of a failing scenario all that it does not need to fail (delta debugging)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from simulation.scenario import Scenario

T = TypeVar("T")
Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails) -> Scenario:
    """A part of it that fails too, and from which no single event or job can be left out."""
    before = None
    while scenario != before:
        before = scenario
        scenario = replace(scenario, events=_least(scenario.events, _with(scenario, "events", fails)))
        scenario = replace(scenario, jobs=_least(scenario.jobs, _with(scenario, "jobs", fails)))
    return scenario


def _with(scenario: Scenario, name: str, fails: Fails) -> Callable[[tuple[T, ...]], bool]:
    return lambda items: fails(replace(scenario, **{name: items}))


def _least(items: tuple[T, ...], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Leave out halves, then quarters, and so on down to single ones."""
    size = max(1, len(items) // 2)
    while True:
        for start in range(0, len(items), size):
            fewer = _without(items, start, size)
            if len(fewer) < len(items) and fails(fewer):
                items = fewer
                break
        else:
            if size == 1:
                return items
            size //= 2
        size = max(1, min(size, len(items)))


def _without(items: Sequence[T], start: int, size: int) -> tuple[T, ...]:
    return (*items[:start], *items[start + size :])
