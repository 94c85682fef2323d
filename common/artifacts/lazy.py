"""A store that is made when it is first used: a worker without scripts never loads boto3."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from .store import ArtifactStore, OutputName, Stored, StoredOutput


class LazyStore(ArtifactStore):
    """Stands for the store that `make` returns."""

    def __init__(self, make: Callable[[], ArtifactStore]) -> None:
        self._make = make
        self._made: ArtifactStore | None = None
        self._lock = threading.Lock()

    def put_stream(self, chunks: Iterable[bytes]) -> Stored:
        return self._store().put_stream(chunks)

    def fetch(self, sha256: str, target: Path) -> None:
        self._store().fetch(sha256, target)

    def size(self, sha256: str) -> int:
        return self._store().size(sha256)

    def location(self, sha256: str) -> str:
        return self._store().location(sha256)

    def put_output(self, name: OutputName, content: BinaryIO, size: int) -> None:
        self._store().put_output(name, content, size)

    def open_output(self, name: OutputName) -> StoredOutput:
        return self._store().open_output(name)

    def remove_outputs(self, names: Iterable[OutputName]) -> None:
        self._store().remove_outputs(names)

    def check(self) -> None:
        self._store().check()

    def _store(self) -> ArtifactStore:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
