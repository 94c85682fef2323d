"""The host's cron daemon, watched: when it dies the worker's clock takes over at once."""

import os
import select

from cronkeeper.worker.crontab_file import crond_pid


class Crond:
    """Readable, for a selector, when the crond that was found has died."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._descriptor: int | None = None

    def fileno(self) -> int:
        """For a selector."""
        return self._epoll.fileno()

    @property
    def alive(self) -> bool:
        """Whether the crond that was found still runs."""
        if self._descriptor is not None and self._epoll.poll(0):
            self._epoll.unregister(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        return self._descriptor is not None

    def find(self) -> None:
        """Look for a crond, unless the one that is known still runs."""
        if self.alive:
            return
        pid = crond_pid()
        if pid is None:
            return
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:
            return
        self._epoll.register(self._descriptor, select.EPOLLIN)
