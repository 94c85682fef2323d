"""Which jobs the next rounds look at, and what brought them up."""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Container, Iterable
from datetime import datetime

from cronkeeper.common.model import StartedBy
from cronkeeper.worker.assignment import JobKey


class Agenda:
    """Jobs that were touched wait for the next round; others come up at an instant, or after a wait.

    A trigger says what may start the job's ticks; with None they are not looked at.
    """

    def __init__(self) -> None:
        self._touched: dict[JobKey, StartedBy | None] = {}
        self._when: dict[JobKey, datetime] = {}
        self._heap: list[tuple[datetime, JobKey]] = []
        self._planned: Counter[datetime] = Counter()
        self._waits: list[tuple[float, JobKey]] = []

    def touch(self, key: JobKey, trigger: StartedBy | None = None) -> None:
        """Look at the job in the next round; what cron filed is told from what was found by other means."""
        if trigger is StartedBy.CRON or self._touched.get(key) is None:
            self._touched[key] = trigger

    def set(self, key: JobKey, when: datetime | None) -> None:
        """The job's ticks are due then, and at no other instant; None: never."""
        if self._when.get(key) == when:
            return
        self._strike(key)
        if when is not None:
            self._when[key] = when
            self._planned[when] += 1
            heapq.heappush(self._heap, (when, key))

    def planned(self, when: datetime, other_than: JobKey | None = None) -> int:
        """How many jobs, one left out, are due at just that instant."""
        return self._planned[when] - (other_than is not None and self._when.get(other_than) == when)

    def touch_due(self, now: datetime, trigger: StartedBy) -> None:
        """Touch the jobs whose instant has come, each once."""
        while (first := self._first()) is not None and first <= now:
            _, key = heapq.heappop(self._heap)
            self._strike(key)
            self.touch(key, trigger)

    def touch_at(self, key: JobKey, clock: float) -> None:
        """Look at the job again at that reading of the lease's clock, beside all else."""
        heapq.heappush(self._waits, (clock, key))

    def touch_waited(self, clock: float) -> None:
        """Touch the jobs whose wait is over."""
        while self._waits and self._waits[0][0] <= clock:
            self.touch(heapq.heappop(self._waits)[1])

    def touch_all(self, keys: Iterable[JobKey], trigger: StartedBy) -> None:
        """`touch` each of them."""
        for key in keys:
            self.touch(key, trigger)

    def take(
        self, most: int, *, idle: bool = False, only: Container[JobKey] | None = None
    ) -> dict[JobKey, StartedBy | None]:
        """The touched jobs, at most so many, those that have waited longest first; `idle`: their ticks can wait."""
        items = self._touched.items()
        wanted = items if only is None else (each for each in items if each[0] in only)
        taken = dict(itertools.islice(wanted, most))
        for key in taken:
            del self._touched[key]
        return dict.fromkeys(taken) if idle else taken

    def wait(self, now: datetime, clock: float) -> float:
        """Seconds until there is something to look at; infinite where nothing is on the agenda."""
        if self._touched:
            return 0.0
        first = self._first()
        due = math.inf if first is None else (first - now).total_seconds()
        return max(0.0, min(due, self._waits[0][0] - clock if self._waits else math.inf))

    def _strike(self, key: JobKey) -> None:
        when = self._when.pop(key, None)
        if when is not None:
            self._planned[when] -= 1
            if not self._planned[when]:
                del self._planned[when]

    def _first(self) -> datetime | None:
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
