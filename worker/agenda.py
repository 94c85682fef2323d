"""When the worker's own clock looks at a job next."""

import heapq
from datetime import datetime

from cronkeeper.worker.assignment import JobKey


class Agenda:
    """One instant for each job; setting it again replaces the one before."""

    def __init__(self) -> None:
        self._when: dict[JobKey, datetime] = {}
        self._heap: list[tuple[datetime, JobKey]] = []

    def set(self, key: JobKey, when: datetime | None) -> None:
        """Look at the job then; None: not again."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))

    def due(self, now: datetime) -> list[JobKey]:
        """The jobs whose instant has come, each once."""
        keys = []
        while (first := self.next()) is not None and first <= now:
            _, key = heapq.heappop(self._heap)
            del self._when[key]
            keys.append(key)
        return keys

    def next(self) -> datetime | None:
        """The earliest instant."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
