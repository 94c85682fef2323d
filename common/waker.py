"""Waking a loop from another thread, and waiting for that, for file descriptors, or for the time."""

import contextlib
import os
import select
from collections.abc import Sequence
from typing import Protocol


class Readable(Protocol):
    """Anything that a poll can wait for."""

    def fileno(self) -> int: ...


class Waker:
    """`set` may be called from any thread and any number of times: it costs one wake-up."""

    def __init__(self, others: Sequence[Readable] = ()) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        for readable in (self._event, *(other.fileno() for other in others)):
            self._poll.register(readable, select.POLLIN)

    def set(self) -> None:
        """Wake the waiting loop, or let its next wait return at once."""
        os.eventfd_write(self._event, 1)

    def wait(self, timeout: float) -> None:
        """Return when woken, when something is readable, or after `timeout` seconds."""
        self._poll.poll(max(0.0, timeout) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
