"""How this machine's clock stands to the tree's, and what the worker may do by it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common.facts import Condition, ConditionName, Finding

NOTABLE = 1.0
"""Seconds, beyond the error, from which on people are told."""
NO_NEW_JOBS = 30.0
"""Seconds from which on the leader gives the node no new jobs."""
STEP = 1.0
"""Seconds by which the wall's clock may move against the one since boot before it is measured anew."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement, good in its boot: as in `Clocks`, and the wall's clock less the other one."""

    offset: float
    error: float
    beside: float


class Clocks:
    """What the last measurement said, and whether it still holds.

    The wall's clock is measured against the tree's, in seconds; `clock` is the lease's, which no step moves.
    """

    def __init__(self, max_skew: float) -> None:
        """`max_skew` in seconds; infinite where the tree goes by this machine's own clock, and none is measured."""
        self._max_skew = max_skew
        self._beside = math.nan
        """The wall's clock less the other one, as of the measurement."""
        self.offset = self.error = math.nan
        """Seconds that the wall's clock is ahead of the tree's, and how far from the truth that may be."""

    def measure(self, offset: float, error: float, *, wall: float, clock: float) -> None:
        """Take note of a measurement, and of both clocks as it ended."""
        self.offset, self.error = offset, error
        self._beside = wall - clock

    @property
    def measured(self) -> Measured | None:
        """The last measurement, for a daemon that can't make one."""
        return None if math.isnan(self.offset) else Measured(self.offset, self.error, self._beside)

    def recall(self, measured: Measured) -> None:
        """Take over what an earlier daemon measured in this boot."""
        self.offset, self.error, self._beside = measured.offset, measured.error, measured.beside

    def known(self, now: datetime, clock: float) -> bool:
        """Whether there was a measurement, and the wall's clock was not stepped since; both are read at once."""
        return math.isinf(self._max_skew) or abs(now.timestamp() - clock - self._beside) <= STEP

    @property
    def beyond(self) -> float:
        """Seconds by which the clocks are certainly apart; 0 where that was not measured."""
        return 0.0 if math.isnan(self.offset) else max(0.0, abs(self.offset) - self.error)

    @property
    def may_claim(self) -> bool:
        """Whether ticks are to be believed that are due by the wall's clock."""
        return self.beyond <= self._max_skew

    def may_go_on(self, now: datetime, clock: float) -> bool:
        """`may_claim` while nothing can be measured: by the last measurement, and what the wall was moved since."""
        if math.isinf(self._max_skew):
            return True
        if math.isnan(self.offset):
            return False
        offset = self.offset + now.timestamp() - clock - self._beside
        return max(0.0, abs(offset) - self.error) <= self._max_skew

    @property
    def takes_jobs(self) -> bool:
        """Whether the node is to be given new jobs."""
        return math.isinf(self._max_skew) or self.beyond <= NO_NEW_JOBS

    def findings(self) -> list[Finding]:
        """What is wrong with the clock."""
        if math.isinf(self._max_skew) or self.beyond <= NOTABLE:
            return []
        where = "ahead of" if self.offset > 0 else "behind"
        reason = f"the clock is {abs(self.offset):.1f} s {where} the coordination service's"
        if not self.may_claim:
            reason += ": nothing is started until it is right"
        if not self.takes_jobs:
            reason += ", and no new jobs come"
        return [Finding(ConditionName.CLOCK_OFF, reason)]


def since(before: Sequence[Condition], found: Iterable[Finding], now: datetime) -> tuple[Condition, ...]:
    """What is wrong as conditions: one that was there before keeps its beginning."""
    began = {each.name: each.since for each in before}
    return tuple(
        Condition(name=each.name, reason=each.reason, since=began.get(each.name, now)) for each in found
    )
