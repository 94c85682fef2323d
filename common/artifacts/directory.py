"""Artifacts in a directory of this machine: what the embedded install uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cronkeeper.common.errors import NotFound, Unavailable

from .store import CHUNK, ArtifactStore, Stored, checked_name
from .whole import flush, receive, sweep, sync_folder, unfinished_file, write_checked


class DirectoryStore(ArtifactStore):
    """Each artifact is a file `<first two digits>/<sha256>` below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
        with self._reading(sha256):
            return self._path(sha256).stat().st_size

    def location(self, sha256: str) -> str:
        return self._path(sha256).absolute().as_uri()

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
        with self._reading(sha256), self._path(sha256).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    @contextmanager
    def _reading(self, sha256: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"there is no artifact {sha256}") from None
        except OSError as error:
            raise Unavailable(f"artifact {sha256} cannot be read below {self._root}: {error}") from error
