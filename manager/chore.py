"""What a manager does in batches while it leads, on a thread of its own: no move of the leader waits for it."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime

from cronkeeper.common.errors import CronkeeperError

log = logging.getLogger(__name__)

SPACING = 1.0
"""Seconds that lie at least between two batches."""
RETRY = 30.0


class Chore(ABC):
    """Acts only while it is told of a reign; what it writes is fenced by that reign's epoch."""

    def __init__(self, notify: Callable[[], None], rest: float, put_off: str) -> None:
        """`rest`: seconds until it begins anew; `put_off`: what is said where something does not answer."""
        self._notify = notify
        self._rest = rest
        self._put_off = put_off
        self._epoch: int | None = None
        self._complaint: str | None = None

    def lead(self, epoch: int | None) -> None:
        """A reign has begun or, without an epoch, is over. For any thread."""
        self._epoch = epoch
        self._notify()

    def step(self, now: datetime) -> float:
        """One batch. Returns after how many seconds the next one is wanted, if no reign begins before."""
        epoch = self._epoch
        if epoch is None:
            self._begin_anew()
            return self._rest
        try:
            through = self._batch(epoch, now)
        except CronkeeperError as error:
            if str(error) != self._complaint:
                log.warning("%s for now: %s", self._put_off, error)
            self._complaint = str(error)
            return RETRY
        self._complaint = None
        return self._rest if through else 0.0

    @abstractmethod
    def _batch(self, epoch: int, now: datetime) -> bool:
        """Returns whether nothing is left to do. Raises: CronkeeperError."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """The reign is over: whoever leads next begins from the beginning."""
