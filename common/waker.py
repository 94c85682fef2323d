"""Waking a loop from another thread, and waiting for that, for file descriptors, or for the time."""

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from types import FrameType
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


class Stop:
    """Whether a daemon is to end. It can be set by a signal's handler, and so takes no lock: a second signal,
    as Ctrl-C and the guard send one each, may come in the middle of the first one's handler."""

    def __init__(self, waker: Waker) -> None:
        """`waker` is that of the loop in the main thread."""
        self._waker = waker
        self._told = False

    def set(self) -> None:
        """From any thread, any number of times."""
        self._told = True
        self._waker.set()

    def is_set(self) -> bool:
        """Whether it has been told."""
        return self._told


class HungUp:
    """Whether SIGHUP came since this was last asked; as `Stop`, it takes no lock."""

    def __init__(self, waker: Waker) -> None:
        """`waker` is that of the loop in the main thread, which asks."""
        self._waker = waker
        self._count = self._seen = 0
        signal.signal(signal.SIGHUP, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # the guard has it blocked until now

    def __call__(self) -> bool:
        """True once for all that came."""
        count, before = self._count, self._seen
        self._seen = count
        return count != before

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self._count += 1
        self._waker.set()


def stop_on_signals(waker: Waker, *more: signal.Signals) -> Stop:
    """What SIGTERM and SIGINT set, and `more` where they are named, but not those that are ignored by now.

    The main thread has to wake now and then: a signal that comes just before it waits, or that the kernel gives to
    another thread, does not wake it.
    """
    stop = Stop(waker)
    heeded = [number for number in more if signal.getsignal(number) is not signal.SIG_IGN]
    for number in (signal.SIGTERM, signal.SIGINT, *heeded):
        signal.signal(number, lambda _signal, _frame: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, more)  # as `HungUp` does
    return stop
