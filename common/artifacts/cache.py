"""A node's local copies of the artifacts that its jobs run."""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from cronkeeper.common.errors import CronkeeperError, Unavailable

from .store import ArtifactStore, checked_name
from .whole import has_sha256

log = logging.getLogger(__name__)

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
KEEP_SECONDS = 24 * 3600.0
EXECUTABLE = 0o755


class Cache:
    """Fetches in the background; what it has is at hand while the store is away.

    What an earlier process left is checked against its SHA-256 before it is handed out, in the background too.
    """

    def __init__(self, root: Path, store: ArtifactStore, threads: int = 2) -> None:
        self.notify: Callable[[], None] = _nobody
        """Called on another thread after each fetch that ended, well or not."""
        self._root = root
        self._store = store
        self._fetches = ThreadPoolExecutor(threads, thread_name_prefix="artifacts")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="artifacts-check")
        """Apart from the others, which a store that is away may hold up for as long as it is."""
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._verified: set[str] = set()
        self._under_way: set[str] = set()
        self._errors: dict[str, CronkeeperError] = {}
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(EXECUTABLE)

    def path(self, sha256: str) -> Path | None:
        """The file, executable by all, or None where it has to be requested.

        That is so for a file of an earlier process too: to check 1 GiB takes seconds, which no step may wait for.
        """
        path = self._root / checked_name(sha256)
        with self._lock:
            verified = sha256 in self._verified
        return path if verified and path.exists() else None

    def request(self, sha256: str) -> None:
        """See to it that the file comes, unless that is under way; after a failure, try once more."""
        checked_name(sha256)
        with self._lock:
            if sha256 in self._under_way:
                return
            self._under_way.add(sha256)
            self._errors.pop(sha256, None)
        self._checks.submit(self._bring, sha256, self._look)

    def error(self, sha256: str) -> CronkeeperError | None:
        """Why the last request failed for good; None while there is hope."""
        with self._lock:
            return self._errors.get(sha256)

    def keep(self, in_use: set[str]) -> None:
        """Remove all files but these that are older than a day."""
        oldest = time.time() - KEEP_SECONDS
        try:
            for path in self._root.iterdir():
                with suppress(FileNotFoundError):  # a file that a fetch has just renamed
                    if path.name not in in_use and path.stat().st_mtime < oldest:
                        path.unlink()
        except OSError as error:
            log.warning("old artifacts stay in %s: %s", self._root, error)

    def close(self) -> None:
        """Give up what is under way; returns when no thread is left."""
        self._closed.set()
        for pool in (self._checks, self._fetches):
            pool.shutdown(cancel_futures=True)

    def _bring(self, sha256: str, step: Callable[[str], bool]) -> None:
        """Take a step, after which the file is here unless it returns False; the outcome is kept and told."""
        error: CronkeeperError | None = None
        try:
            if not step(sha256):
                return
        except CronkeeperError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - the outer end of a thread: nobody else would hear of it
            error = CronkeeperError(f"artifact {sha256} cannot be kept in {self._root}: {failure}")
        with self._lock:
            self._under_way.discard(sha256)
            if error is not None:
                self._errors[sha256] = error
        self.notify()

    def _look(self, sha256: str) -> bool:
        """Whether the file is here; if not, it is fetched by another thread."""
        if self._verify(sha256):
            return True
        self._fetches.submit(self._bring, sha256, self._fetch_until_done)
        return False

    def _fetch_until_done(self, sha256: str) -> bool:
        """Fetch the file; try again for as long as the store is away."""
        delay = FIRST_DELAY
        while True:
            try:
                self._fetch(sha256)
                return True
            except Unavailable as error:
                pause = delay * random.uniform(0.5, 1.0)
                log.warning("artifact %s not fetched, trying again in %.1f s: %s", sha256, pause, error)
                if self._closed.wait(pause):
                    raise
            delay = min(2 * delay, LONGEST_DELAY)

    def _fetch(self, sha256: str) -> None:
        fetched = self._root / f".{sha256}.fetched"
        self._store.fetch(sha256, fetched)
        fetched.chmod(EXECUTABLE)
        fetched.replace(self._root / sha256)
        with self._lock:
            self._verified.add(sha256)

    def _verify(self, sha256: str) -> bool:
        """Whether the file is there and is what its name says; one that isn't is removed."""
        path = self._root / sha256
        if not has_sha256(path, sha256):
            path.unlink(missing_ok=True)
            return False
        path.chmod(EXECUTABLE)
        with self._lock:
            self._verified.add(sha256)
        return True


def _nobody() -> None:
    """Until an owner has said whom to notify."""
