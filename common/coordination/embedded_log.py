"""The embedded tree's file in use: commits are appended, made durable in groups, and compacted."""

import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from cronkeeper.common.errors import Conflict, Unavailable

from .embedded_format import encode_record, read_file, write_at, write_snapshot
from .embedded_nodes import Changes
from .tree import Node

log = logging.getLogger(__name__)

COMPACT_MIN = 4 * 1024 * 1024
COMPACT_GROWTH = 4
"""The file is rewritten once it is larger than COMPACT_MIN and than this many times its snapshot."""


class TreeLog:
    """The open file. One thread at a time may `append` changes or `compact`; any number may `settle`.

    Positions count the bytes ever appended, so they go on growing when the file is rewritten.
    """

    def __init__(self, path: Path) -> None:
        """Raises: Conflict, where another process has the file open."""
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._state = threading.Condition()
        self._syncing = False
        self._failure: str | None = None
        self._file = -1
        self._start = self._written = self._durable = 0
        self._compact_at = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path.with_name(path.name + ".lock"))

    def load(self) -> dict[str, Node]:
        """What the file holds; nothing where there is none yet. `compact` has to follow, before `append`.

        Raises: Damaged.
        """
        return read_file(self._path) if self._path.exists() else {}

    def append(self, changes: Changes) -> int:
        """Write a commit's changes, which are kept once `settle` returns for the position returned here.

        Raises: Unavailable, and then nothing was written.
        """
        with self._state:
            self._check()
            if changes:
                record = encode_record(self._durable - self._start, changes.items())
                self._write(record)
                self._written += len(record)
            return self._written

    def settle(self, position: int) -> None:
        """Return once all up to the position is on the disk. Threads that wait together share a fdatasync.

        Raises: Unavailable, where that can't be known, now or ever.
        """
        while (target := self._sync_target(position)) is not None:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                # The kernel may have dropped the pages: a second fdatasync would say that all is well.
                failure = self._failed(error)
                self._synced(None)
                raise failure from error
            self._synced(target)

    @property
    def overgrown(self) -> bool:
        """Whether it is time to `compact`."""
        return self._written - self._start > self._compact_at

    def compact(self, nodes: Iterable[tuple[str, Node]]) -> None:
        """Rewrite the file as a snapshot of the nodes, which are those that all the appended commits made.

        Whenever the machine dies, either the old file is there or the new one, whole. Where the disk is full
        the old one stays in use.

        Raises: Unavailable, where it can't be known which of the two is there, or there was none.
        """
        with self._state:
            self._state.wait_for(lambda: not self._syncing)
            self._check()
            try:
                file, size = self._write_temporary(nodes)
            except OSError as error:
                self._put_off(error)
                return
            self._replace(file, size)

    def close(self) -> None:
        """Let go of the file; what was settled is kept."""
        with self._state:
            self._state.wait_for(lambda: not self._syncing)
            self._failure = "closed"
            for file in (self._file, self._lock):
                if file >= 0:
                    os.close(file)
            self._file = self._lock = -1

    def _sync_target(self, position: int) -> int | None:
        """What a fdatasync by the caller would settle; None where there is nothing left to do."""
        with self._state:
            self._state.wait_for(lambda: self._durable >= position or not self._syncing)
            if self._durable >= position:
                return None
            self._check()
            self._syncing = True
            return self._written

    def _synced(self, target: int | None) -> None:
        with self._state:
            self._syncing = False
            if target is not None:
                self._durable = target
            self._state.notify_all()

    def _write(self, record: bytes) -> None:
        """Append all of the record or nothing."""
        size = self._written - self._start
        try:
            write_at(self._file, record, size)
        except OSError as error:
            try:
                os.ftruncate(self._file, size)
            except OSError as worse:
                raise self._failed(worse) from worse
            raise Unavailable(f"{self._path} can't be written: {error}") from error

    def _write_temporary(self, nodes: Iterable[tuple[str, Node]]) -> tuple[int, int]:
        """The new file, open, synced and not yet named, and its size."""
        file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            size = write_snapshot(file, nodes)
            os.fsync(file)
        except OSError:
            os.close(file)
            self._temporary.unlink()
            raise
        return file, size

    def _replace(self, file: int, size: int) -> None:
        """Give the new file its name, for good, and go on in it."""
        try:
            self._temporary.rename(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            os.close(file)
            raise self._failed(error) from error
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._durable = self._written
        self._start = self._written - size
        self._compact_at = max(COMPACT_MIN, COMPACT_GROWTH * size)
        self._state.notify_all()

    def _put_off(self, error: OSError) -> None:
        if self._file < 0:
            raise Unavailable(f"{self._path} can't be written: {error}") from error
        self._compact_at = self._written - self._start + COMPACT_MIN
        log.warning("compaction of %s is put off: %s", self._path, error)

    def _check(self) -> None:
        if self._failure is not None:
            raise Unavailable(f"{self._path} is no longer written: {self._failure}")

    def _failed(self, error: OSError) -> Unavailable:
        """Remember that the file can't be trusted any more: only a new start reads what is really there."""
        self._failure = f"{error}; mend the disk and start again"
        log.error("%s is no longer written: %s", self._path, self._failure)
        return Unavailable(f"{self._path} is no longer written: {self._failure}")


def _locked(path: Path) -> int:
    """The lock file, open and ours until it is closed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise Conflict(f"{path.with_suffix('')} is in use by another process") from error
    return file


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
