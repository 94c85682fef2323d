"""Brings what runs wrote into the artifact store, on threads of its own: no round waits for that."""

import io
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cronkeeper.common.artifacts.store import ArtifactStore, OutputName
from cronkeeper.worker.kept import KeptFile
from cronkeeper.worker.outputs import is_dropped
from cronkeeper.worker.run_folder import RunFolder

log = logging.getLogger(__name__)

THREADS = 2
"""So that the largest output does not hold up all others."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
GIVE_UP = 24 * 3600.0
"""Seconds after which the beginning and the end in SQL have to do: else a store that never takes anything in would
let the folders of runs fill the disk."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run's outputs: the size, as reported, of each stream that is to be stored."""

    folder: RunFolder
    sizes: Mapping[str, int]
    asked: float


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task: bytes stored of each stream; nothing, where that was given up."""

    run_id: str
    stored: Mapping[str, int]


class Uploads:
    """Repeats each until it is stored; one that fails makes room for the others, after a pause."""

    def __init__(
        self, store: ArtifactStore, notify: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._notify = notify
        self._clock = clock
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def request(self, folder: RunFolder, sizes: Mapping[str, int]) -> None:
        """See to it that the streams come into the store; the folder has to stay until that is `done`."""
        self._tasks.put(Task(folder, sizes, self._clock()))
        if not self._threads:  # most workers never come to this
            self._threads = [
                threading.Thread(target=self._loop, name=f"outputs-{number}", daemon=True)
                for number in range(THREADS)
            ]
            for thread in self._threads:
                thread.start()

    def done(self) -> list[Done]:
        """What has come to its end since the last call."""
        return [self._done.get_nowait() for _ in range(self._done.qsize())]

    def _loop(self) -> None:
        pause = FIRST_PAUSE
        while True:
            task = self._tasks.get()
            try:
                stored = self.store(task)
            except Exception as error:  # noqa: BLE001 - the outer end of a thread: nobody else would hear of it
                waited = self._clock() - task.asked
                if waited < GIVE_UP:
                    log.warning("output of run %s waits: %s", task.folder.plan.run_id, error)
                    self._tasks.put(task)
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                log.error("of the output of run %s only a part is kept: %s", task.folder.plan.run_id, error)
                stored = {}
            pause = FIRST_PAUSE
            self._done.put(Done(task.folder.plan.run_id, stored))
            self._notify()

    def store(self, task: Task) -> dict[str, int]:
        """Put the streams; returns the bytes of each that are stored now. Raises: CronkeeperError."""
        stored = {}
        for stream, size in task.sizes.items():
            plan = task.folder.plan
            try:
                content = KeptFile(task.folder.path / stream, size, plan.spec.max_output)
            except OSError as error:
                if not is_dropped(task.folder, stream):
                    log.error("the %s of run %s can't be read: %s", stream, plan.run_id, error)
                continue
            with io.BufferedReader(content, 1024 * 1024) as reader:
                self._store.put_output(OutputName(plan.run_id, stream), reader, content.size)
            if not is_dropped(task.folder, stream):  # else a part of it was nothing but zeros
                stored[stream] = content.size
        return stored
