"""Files that are there whole, or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .store import CHUNK, Corrupt


@contextmanager
def unfinished_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the folder, for writing; it is removed after the block unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def flush(file: BinaryIO) -> None:
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
    digest = hashlib.sha256()
    with unfinished_file(target.parent) as (file, path):
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise Corrupt(
                f"artifact {sha256} is stored as something else, with the SHA-256 {digest.hexdigest()}"
            )
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
