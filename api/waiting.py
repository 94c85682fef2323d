"""Requests that wait for a run to end: only so many at a time, so that others always find a free thread."""

import threading
import time

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Run
from cronkeeper.manager import runs
from cronkeeper.manager.desk import Desk

from .leaving import Leaving

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.2
GROWTH = 1.5


class Waiters:
    """The places for waiting requests in one process."""

    def __init__(self, places: int, leaving: Leaving) -> None:
        self._leaving = leaving
        self._places = threading.BoundedSemaphore(places) if places > 0 else threading.Semaphore(0)

    def await_end(self, desk: Desk, run: Run, seconds: float) -> Run:
        """The run once it has ended; as it was last seen when time is up.

        At once where no place is free, or this server is about to end: another one can be asked then.
        """
        if not self._places.acquire(blocking=False):
            return run
        try:
            return self._await_end(desk, run, seconds)
        finally:
            self._places.release()

    def _await_end(self, desk: Desk, run: Run, seconds: float) -> Run:
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while not (run.state.final or self._leaving.soon) and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * GROWTH, LONGEST_PAUSE)
            try:
                run = runs.get(desk, run.id)
            except Unavailable:
                continue  # the run was asked for: that SQL is away now is no reason to say that it was not
        return run
