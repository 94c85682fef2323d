"""Waiting for something to come true: what a test does instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], deadline: float = 10.0, every: float = 0.02) -> T:
    """Call `predicate` until what it returns is true, and return that.

    `deadline` and `every` are seconds.

    Raises:
        AssertionError: it had not come true in time; the text holds what it returned last.
    """
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{predicate} was still {value!r} after {deadline} s")
        time.sleep(every)
