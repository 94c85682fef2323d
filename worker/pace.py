"""How fast reports go: what a failure does to the next try. All of it is chance and arithmetic, with no clock."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from cronkeeper.common.errors import Unavailable

MAX_BATCH = 200
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of what the runs wrote; the API takes several times as much in one request."""
PROBE = 25
"""How many reports go at once after a failure, and twice as many after each success: an API that is just back is
busy, and may have to refuse them."""
FIRST = 0.4
MOST = 10.0
"""Seconds of which a pause is a random part, at first and in the end: nodes that were cut off at one moment do not
come back at one moment."""
LONGEST_WISH = 60.0


class NotTaken(Unavailable):
    """Reports were not acknowledged.

    Args:
        retry_after: seconds for which the API asks to be left alone.
        too_much: fewer reports may get through.
        refused: the API has read them and refuses them; one alone that it refuses must not hold up the others.
    """

    def __init__(
        self, message: str, *, retry_after: float = 0.0, too_much: bool = False, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = min(retry_after, LONGEST_WISH)
        self.too_much = too_much or refused
        self.refused = refused


@dataclass(slots=True)
class Pace:
    """How many reports go at once, and how long to wait after a failure."""

    chance: Callable[[], float] = random.random
    """A number from 0 to 1."""
    batch: int = MAX_BATCH
    _ceiling: float = FIRST

    @property
    def batch_bytes(self) -> int:
        """How much of what runs wrote goes at once; a report that is larger goes alone."""
        return MAX_BATCH_BYTES * self.batch // MAX_BATCH

    @property
    def told(self) -> bool:
        """Whether a failure now is worth a line in the log: the first, and those when it has lasted."""
        return self._ceiling in (FIRST, MOST)

    def went_well(self) -> None:
        """A batch was acknowledged."""
        self.batch = min(2 * self.batch, MAX_BATCH)
        self._ceiling = FIRST

    def failed(self, error: Exception) -> float:
        """A batch was not; returns for how many seconds to wait."""
        wish = 0.0
        if isinstance(error, NotTaken):
            wish = error.retry_after
            if error.too_much:
                self.batch = max(1, self.batch // 4)
        self.batch = min(self.batch, PROBE)
        pause = wish + self.chance() * self._ceiling
        self._ceiling = min(2 * self._ceiling, MOST)
        return pause
