"""Ends that the API does not acknowledge soon: brought onto the disk for good, and kept from filling it.

A thread of its own, since both may take long. While the API answers, nothing comes to it: no end costs a sync.
"""

import contextlib
import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cronkeeper.common import metrics
from cronkeeper.common.clock import uptime
from cronkeeper.common.model import Outcome
from cronkeeper.worker import outputs
from cronkeeper.worker.run_folder import RunFolder

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that an end is given before it is taken for one that waits."""
REST = 4
"""How many times as long as a sync took nothing is synced after it: the disk is there for the jobs."""
OLD = 60.0
"""Seconds after which what a run wrote may be dropped for want of room: younger ones may be on their way."""
LOOK_EVERY = 10.0
"""Seconds between two looks at the room that is left, while something waits."""


def sync_filesystem(folder: Path) -> None:
    """Bring all that was written to the filesystem of this folder onto its disk: syncfs(2). Raises: OSError.

    For many files it takes a hundredth of the time that as many fsyncs take.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


_syncfs = ctypes.CDLL(None, use_errno=True).syncfs


def free_bytes(folder: Path) -> int:
    """What a user without special rights may still write there. Raises: OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@dataclass(slots=True)
class Waiting:
    """An end, and since when it waits; `weight` is the room that its outputs take up."""

    folder: RunFolder
    outcome: Outcome
    since: float
    weight: int = 0


class Safekeeping:
    """The ends that have not been acknowledged.

    An end is noted in its folder and synced once it has waited for `PATIENCE`. What the waiting runs wrote may take
    up half of the room that there would be without it; beyond that the oldest are dropped.
    """

    def __init__(
        self,
        root: Path,
        sync: Callable[[Path], None] = sync_filesystem,
        free: Callable[[Path], float] = free_bytes,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self._root = root
        self._sync = sync
        self._free = free
        self._clock = clock
        self._change = threading.Condition()
        self._fresh: dict[str, Waiting] = {}
        self._kept: dict[str, Waiting] = {}
        """What is on the disk for good."""
        self._next_sync = self._next_look = 0.0
        self._complaint: str | None = None

    def start(self) -> None:
        """Begin to look after them, on a thread."""
        threading.Thread(target=self._loop, name="safekeeping", daemon=True).start()

    def add(self, folder: RunFolder, outcome: Outcome) -> None:
        """The run has ended so; it waits until it is dropped."""
        run_id = folder.plan.run_id
        with self._change:
            if run_id not in self._kept and run_id not in self._fresh:
                self._fresh[run_id] = Waiting(folder, outcome, self._clock())
                self._change.notify()

    def drop(self, run_id: str) -> None:
        """Everyone has acknowledged it: its folder is about to go."""
        with self._change:
            self._fresh.pop(run_id, None)
            self._kept.pop(run_id, None)

    def look(self) -> None:
        """Do what is due now."""
        complaint = None
        for act in (self._keep, self._make_room):
            try:
                act()
            except OSError as error:
                complaint = str(error)
        if complaint is not None and complaint != self._complaint:
            log.error("what has ended and waits for the API can't be kept on the disk: %s", complaint)
        self._complaint = complaint

    def _keep(self) -> None:
        began = self._clock()
        with self._change:
            due = {key: one for key, one in self._fresh.items() if one.since + PATIENCE <= began}
        if not due or began < self._next_sync:
            return
        for one in due.values():
            one.weight = outputs.weight(one.folder)
            # On a full disk it fails; the exit code has its room, and tells nearly as much.
            with contextlib.suppress(OSError):
                one.folder.note_outcome(one.outcome)
        self._sync(self._root)
        self._next_sync = self._clock() + REST * (self._clock() - began)
        with self._change:
            for key, one in due.items():
                if self._fresh.pop(key, None) is not None:
                    self._kept[key] = one

    def _make_room(self) -> None:
        clock = self._clock()
        if clock < self._next_look:
            return
        self._next_look = clock + LOOK_EVERY
        with self._change:
            kept = list(self._kept.values())
        over = (sum(one.weight for one in kept) - self._free(self._root)) / 2
        if over > 0:
            self._drop([one for one in kept if one.weight > 0 and one.since + OLD <= clock], over)

    def _drop(self, waiting: list[Waiting], over: float) -> None:
        waiting.sort(key=lambda one: one.outcome.ended_at)
        count = 0
        for one in waiting:
            if over <= 0:
                break
            with contextlib.suppress(FileNotFoundError):  # it was acknowledged just now
                outputs.drop(one.folder)
            over -= one.weight
            one.weight = 0
            count += 1
        if count:
            metrics.OUTPUTS_DROPPED.inc(count)
            log.warning("what %d runs wrote is dropped: it waits in vain, and the disk fills up", count)

    def _loop(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._fresh or self._kept))
            time.sleep(PATIENCE)
            self.look()
