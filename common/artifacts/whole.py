"""Files that are there whole, or not at all."""

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .store import CHUNK, Corrupt, Stored

log = logging.getLogger(__name__)
_SUFFIX = ".part"


@contextmanager
def unfinished_file(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file in the folder, for writing; it is removed after the block unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # for as long as its writer lives: see `sweep`
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the unfinished files whose writers were killed."""
    try:
        for path in folder.glob(f".*{_SUFFIX}"):
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
    except OSError as error:
        log.warning("unfinished files stay in %s: %s", folder, error)


def receive(chunks: Iterable[bytes], file: IO[bytes]) -> Stored:
    """Write the chunks to the file, and say what they are together."""
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
        size += len(chunk)
    return Stored(digest.hexdigest(), size)


def flush(file: IO[bytes]) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in the folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_checked(chunks: Iterable[bytes], sha256: str, target: Path) -> None:
    """Write the chunks to `target`, durably, if together they have this SHA-256.

    Raises:
        Corrupt: they have another one.
        OSError: `target` cannot be written.
    """
    with unfinished_file(target.parent) as (file, path):
        found = receive(chunks, file).sha256
        if found != sha256:
            raise Corrupt(f"artifact {sha256} is stored as something else, with the SHA-256 {found}")
        flush(file)
        path.replace(target)
    sync_folder(target.parent)


def has_sha256(path: Path, sha256: str) -> bool:
    """True if the file is there and its content has this SHA-256."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == sha256
