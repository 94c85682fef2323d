"""The places for runs on a node, and the jobs that wait until one is free: nothing that waits has been claimed."""

import heapq
import logging
from datetime import datetime

from cronkeeper.common.model import StartedBy
from cronkeeper.worker.assignment import JobKey

log = logging.getLogger(__name__)


class Places:
    """Each job waits once, in the order in which they came; of those that came together the one due first."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._waiting: dict[JobKey, tuple[datetime, datetime, StartedBy | None]] = {}
        """Since when, for what was due when, and its trigger."""
        self._queue: list[tuple[datetime, datetime, JobKey]] = []
        self._full = False

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def wait(self, key: JobKey, trigger: StartedBy | None, now: datetime, due: datetime) -> None:
        """Have the job wait; one that does already keeps its turn. The trigger is what will start it then."""
        since, first, before = self._waiting.get(key, (now, due, None))
        if key not in self._waiting:
            heapq.heappush(self._queue, (since, first, key))
        self._waiting[key] = since, first, trigger if before is None else before

    def drop(self, key: JobKey) -> None:
        """The job waits no more."""
        self._waiting.pop(key, None)

    def turns(self, taken: int, most: int) -> "Turns":
        """Begin a round: those whose turn it is, at most so many, wait no more."""
        free = self.total - taken
        jobs: dict[JobKey, StartedBy | None] = {}
        while self._queue and len(jobs) < min(free, most):
            since, due, key = heapq.heappop(self._queue)
            if self._waiting.get(key, ())[:2] == (since, due):
                jobs[key] = self._waiting.pop(key)[2]
        return Turns(self, free, jobs)

    def tell(self) -> None:
        """Log it when all places are taken and something waits, and when nothing does any more."""
        if self._waiting and not self._full:
            log.warning("all %d places are taken (worker.max_running): what is due waits", self.total)
        elif self._full and not self._waiting:
            log.info("nothing waits for one of the %d places any more", self.total)
        self._full = bool(self._waiting)


class Turns:
    """The free places in one round. `jobs` are those whose turn it is, with what starts them."""

    def __init__(self, places: Places, free: int, jobs: dict[JobKey, StartedBy | None]) -> None:
        self.jobs = jobs
        self._places = places
        self._free = free
        self._to_come = len(jobs)

    def places_for(self, key: JobKey) -> int:
        """How many runs the job may start: one at least where it is its turn, and else none while others wait."""
        if key in self.jobs:
            self._to_come -= 1
        elif self._places.waiting:
            return 0
        return self._free - self._to_come

    def give(self, count: int) -> None:
        """So many of the places are taken now."""
        self._free -= count
