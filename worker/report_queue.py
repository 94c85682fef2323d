"""Reports that wait: of each run only the newest, in the order in which things happened.

It is not for two threads at once.
"""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cronkeeper.common.model import Report
from cronkeeper.worker.run_folder import RunFolder

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True, eq=False)
class Waiting:
    """A report; what the run wrote is read from its folder when it is sent, so that little of it is in memory."""

    report: Report
    folder: RunFolder | None
    put_off: int = 0
    """How often it was refused by itself."""


@dataclass(slots=True)
class ReportQueue:
    """Whoever takes some puts back those that were not acknowledged."""

    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _heap: list[tuple[int, datetime, int, Waiting]] = field(default_factory=list)
    """Also holds what has been replaced or acknowledged; that is passed over."""
    _first: Waiting | None = None
    """Of those that were taken last."""
    _number: "itertools.count[int]" = field(default_factory=itertools.count)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, report: Report, folder: RunFolder | None) -> None:
        """In place of an older one of the same run."""
        waiting = self._waiting[report.run_id] = Waiting(report, folder)
        self._push(waiting)

    def take(self, most: int) -> list[Waiting]:
        """The first of them."""
        taken: list[Waiting] = []
        while self._heap and len(taken) < most:
            waiting = heapq.heappop(self._heap)[-1]
            if self.holds(waiting):
                taken.append(waiting)
        self._first = taken[0] if taken else None
        return taken

    def put_back(self, taken: Iterable[Waiting]) -> None:
        """Let them wait again."""
        for waiting in taken:
            if self.holds(waiting):
                self._push(waiting)

    def holds(self, waiting: Waiting) -> bool:
        """Whether it has neither been acknowledged nor replaced."""
        return self._waiting.get(waiting.report.run_id) is waiting

    def remove(self, waiting: Waiting) -> None:
        """It was acknowledged."""
        del self._waiting[waiting.report.run_id]

    def oldest(self) -> datetime | None:
        """When that happened which is told next: hardly anything that waits is older."""
        while self._heap and not self.holds(self._heap[0][-1]):
            heapq.heappop(self._heap)
        ahead = [] if self._first is None or not self.holds(self._first) else [self._first]
        following = [self._heap[0][-1]] if self._heap else []
        return min((moment(waiting.report) for waiting in ahead + following), default=None)

    def _push(self, waiting: Waiting) -> None:
        key = (waiting.put_off, moment(waiting.report), next(self._number), waiting)
        heapq.heappush(self._heap, key)


def moment(report: Report) -> datetime:
    """When that happened which the report tells."""
    told = (report.ended_at, report.started_at, report.claimed_at)
    return next((each for each in told if each is not None), BEGINNING)
