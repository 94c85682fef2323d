"""Artifacts in a directory of this machine: what the embedded install uses."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cronkeeper.common.errors import NotFound, Unavailable

from .store import CHUNK, ArtifactStore, checked_name, sha256_of
from .whole import flush, sync_folder, unfinished_file, write_checked


class DirectoryStore(ArtifactStore):
    """Each artifact is a file `<first two digits>/<sha256>` below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes) -> str:
        sha256 = sha256_of(content)
        path = self._path(sha256)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                self._create(path, content)
            # Also where it was there: whoever is writing it now may not have come to this yet.
            sync_folder(path.parent)
            sync_folder(self._root)
        except OSError as error:
            raise Unavailable(f"artifact {sha256} cannot be written below {self._root}: {error}") from error
        return sha256

    def fetch(self, sha256: str, target: Path) -> None:
        write_checked(self._chunks(sha256), sha256, target)

    def url(self, sha256: str) -> str:
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

    def _create(self, path: Path, content: bytes) -> None:
        with unfinished_file(path.parent) as (file, unfinished):
            file.write(content)
            flush(file)
            # A link, not a rename: it never replaces a file that another writer made meanwhile.
            with suppress(FileExistsError):
                path.hardlink_to(unfinished)

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        try:
            with self._path(sha256).open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFound(f"there is no artifact {sha256}") from None
        except OSError as error:
            raise Unavailable(f"artifact {sha256} cannot be read below {self._root}: {error}") from error
