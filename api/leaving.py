"""Whether a server of the API is about to end, so that load balancers are told in time and nothing holds it up."""

import mmap
import time

LAST_CALL = 5.0
"""Seconds before a process ends in any case: so long a request has to be told that it comes to nothing."""


class Leaving:
    """Made before the fork: each process has its own, and all of them know when the whole server leaves."""

    def __init__(self) -> None:
        self._server = mmap.mmap(-1, 1)
        self._deadline: float | None = None

    def server(self) -> None:
        """The whole server was told to end: it serves on for a while, and must not be sent anything new."""
        self._server[0] = 1

    def process(self, seconds: float) -> None:
        """This process was told to end, and has this many seconds for what it is doing. Takes no lock."""
        self._deadline = time.monotonic() + seconds

    @property
    def announced(self) -> bool:
        """True once the whole server leaves: nothing new is to be sent here."""
        return self._server[0] != 0

    @property
    def soon(self) -> bool:
        """True once the server or this process leaves: nothing is to be waited for any more."""
        return self.announced or self._deadline is not None

    @property
    def at_once(self) -> bool:
        """True once it is high time: what goes on for longer will be cut off."""
        return self._deadline is not None and time.monotonic() > self._deadline - LAST_CALL
