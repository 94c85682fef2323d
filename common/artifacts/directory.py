"""Artifacts and outputs in a directory of this machine: what the embedded install uses."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from cronkeeper.common.errors import NotFound, Unavailable

from .store import CHUNK, ArtifactStore, OutputName, Stored, StoredOutput, checked_name
from .whole import flush, receive, sweep, sync_folder, unfinished_file, write_checked


class DirectoryStore(ArtifactStore):
    """Files below `root`: `<first two digits>/<sha256>` are artifacts, `outputs/<run id>/<stream>` outputs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._outputs = root / "outputs"
        sweep(root)

    def put_stream(self, chunks: Iterable[bytes]) -> Stored:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with unfinished_file(self._root) as (file, unfinished):
                stored = receive(chunks, file)
                self._keep(file, unfinished, self._path(stored.sha256))
        except OSError as error:
            raise Unavailable(f"an artifact cannot be written below {self._root}: {error}") from error
        return stored

    def fetch(self, sha256: str, target: Path) -> None:
        write_checked(self._chunks(sha256), sha256, target)

    def size(self, sha256: str) -> int:
        with self._reading(f"artifact {sha256}"):
            return self._path(sha256).stat().st_size

    def location(self, sha256: str) -> str:
        return self._path(sha256).absolute().as_uri()

    def put_output(self, name: OutputName, content: BinaryIO, size: int) -> None:
        path = self._outputs / str(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished_file(self._root) as (file, unfinished):
                shutil.copyfileobj(content, file, CHUNK)
                flush(file)
                if unfinished.stat().st_size != size:
                    raise Unavailable(f"output {name} has not the {size} bytes that it should have")
                unfinished.replace(path)
            for folder in (path.parent, self._outputs, self._root):
                sync_folder(folder)
        except OSError as error:
            raise Unavailable(f"output {name} cannot be written below {self._root}: {error}") from error

    def open_output(self, name: OutputName) -> StoredOutput:
        def reading() -> AbstractContextManager[None]:
            return self._reading(f"output {name}")

        with reading():
            file = (self._outputs / str(name)).open("rb")
            return StoredOutput(os.fstat(file.fileno()).st_size, file, reading)

    def remove_outputs(self, names: Iterable[OutputName]) -> None:
        try:
            for name in names:
                path = self._outputs / str(name)
                path.unlink(missing_ok=True)
                with suppress(OSError):  # the run's other output is there, or this one was the last
                    path.parent.rmdir()
        except OSError as error:
            raise Unavailable(f"outputs cannot be removed below {self._root}: {error}") from error

    def check(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with unfinished_file(self._root):
                pass
        except OSError as error:
            raise Unavailable(f"artifacts cannot be written below {self._root}: {error}") from error

    def _path(self, sha256: str) -> Path:
        return self._root / checked_name(sha256)[:2] / sha256

    def _keep(self, file: IO[bytes], unfinished: Path, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            flush(file)
            # A link, not a rename: it never replaces a file that another writer made meanwhile.
            with suppress(FileExistsError):
                path.hardlink_to(unfinished)
        # Also where it was there: whoever is writing it now may not have come to this yet.
        sync_folder(path.parent)
        sync_folder(self._root)

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        with self._reading(f"artifact {sha256}"), self._path(sha256).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"there is no {what}") from None
        except OSError as error:
            raise Unavailable(f"{what} cannot be read below {self._root}: {error}") from error
