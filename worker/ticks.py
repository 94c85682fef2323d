"""The spool: cron leaves an empty file named after a job when a tick of it is due.

A file is a hint and no more: it makes the worker ask `due_ticks`. So one that is lost costs the clock's grace,
and one too many, or left over from long ago, nothing. The canary's files say which table cron has read.
"""

import contextlib
import os
from pathlib import Path

from inotify_simple import INotify, flags

from cronkeeper.worker.crontab import CANARY


class Spool:
    """The spool directory, and a file descriptor that becomes readable when cron has filed something."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._canaries: set[str] = set()
        self._inotify = INotify(nonblocking=True)
        self._inotify.add_watch(folder, flags.CREATE | flags.MOVED_TO)

    def fileno(self) -> int:
        """For a selector."""
        return int(self._inotify.fileno())

    def take(self) -> bool:
        """Whether cron filed anything since the last call. The directory is the truth, events only wake."""
        with contextlib.suppress(BlockingIOError):
            self._inotify.read(timeout=0)
        filed = False
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                (self.folder / name).unlink()
            if name.startswith(CANARY):
                self._canaries.add(name.removeprefix(CANARY))
            filed = filed or name.isdigit() or name.startswith(CANARY)
        return filed

    def canaries(self) -> set[str]:
        """The tables whose canaries were taken since this was last asked."""
        found, self._canaries = self._canaries, set()
        return found

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()
