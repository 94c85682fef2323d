"""The right to start things. It is only as good as the last answer that passed through the tree's leader."""

import math
from collections.abc import Callable

from cronkeeper.common.clock import boottime

from .tree import Tree

SHARE = 2 / 3
"""The part of the session timeout that a right lasts: it is over well before the server ends the session."""


class Lease:
    """A right that is renewed by answers and counted from when each one was *asked for*.

    Times are seconds of `clock`, which must be one that no step of the wall clock moves and that counts
    suspended time. A `session_timeout` of None is the embedded tree's, whose right never ends.
    """

    def __init__(self, session_timeout: float | None, clock: Callable[[], float] = boottime) -> None:
        self._length = None if session_timeout is None else session_timeout * SHARE
        self._clock = clock
        self._deadline = math.inf if session_timeout is None else -math.inf

    def now(self) -> float:
        """The time on the lease's clock."""
        return self._clock()

    @property
    def deadline(self) -> float:
        """When the right ends: minus infinity before the first answer, infinity for the embedded tree."""
        return self._deadline

    @property
    def answered_at(self) -> float:
        """When that was asked for which the leader answered last; infinities as of `deadline`."""
        return self._deadline if self._length is None else self._deadline - self._length

    def may_act(self, now: float) -> bool:
        """Whether something may be claimed or started at `now`."""
        return now < self._deadline

    def renewed(self, sent_at: float) -> None:
        """Take note of an answer to what was sent at `sent_at`; an older one never shortens the right."""
        if self._length is not None:
            self._deadline = max(self._deadline, sent_at + self._length)

    def renew(self, tree: Tree) -> None:
        """Ask the leader. Raises: Unavailable, and then the right stays as it was.

        A server may grant a shorter session than was asked for: then that is what counts.
        """
        sent_at = self._clock()
        tree.sync()
        if self._length is not None:
            self._length = min(self._length, tree.session().timeout * SHARE)
        self.renewed(sent_at)
