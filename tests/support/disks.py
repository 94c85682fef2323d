"""A node's disk, with trouble."""

from collections.abc import Callable, Iterable
from pathlib import Path

from cronkeeper.worker.alone import Alone, Local, OfNode
from cronkeeper.worker.assignment import JobKey

from .fakes import Trouble


class TroubledAlone(Alone):
    """The record of a node that is cut off: trouble comes to each of its writes."""

    full: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, folder: Path, boot_id: str, trouble: Trouble) -> None:
        super().__init__(folder, boot_id)
        self._trouble = trouble

    def drop(self, keys: Iterable[JobKey]) -> None:
        gone = [key for key in keys if key in self.records]
        if gone or (self.node is not None and not self.records):
            self._trouble("disk", lambda: super(TroubledAlone, self).drop(gone))

    def _write(self, path: Path, value: Local | OfNode, *, durable: bool) -> bool:
        if self.full():
            return False
        return self._trouble("disk", lambda: super(TroubledAlone, self)._write(path, value, durable=durable))
