"""Where artifacts and the outputs of runs lie.

An artifact is addressed by its SHA-256: put twice it is stored once and never changes. An output has the name of
its run: put again it replaces what was there.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote, unquote

from cronkeeper.common.errors import CronkeeperError, Invalid

CHUNK = 1024 * 1024
MAX_FILENAME = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,95}")
_STREAMS = ("stdout", "stderr")


class Corrupt(CronkeeperError):
    """What was fetched does not have the SHA-256 that it was asked for by."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What has been put: its name, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL names: an artifact, and what its file is called, where the URL says so."""

    sha256: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class OutputName:
    """What one run wrote to one stream; as text a path of two plain names. Raises: Invalid."""

    run_id: str
    stream: str

    def __post_init__(self) -> None:
        if not _RUN_ID.fullmatch(self.run_id) or self.stream not in _STREAMS:
            raise Invalid(f"{self.run_id!r}, {self.stream!r} names no output of a run")

    def __str__(self) -> str:
        return f"{self.run_id}/{self.stream}"


class Source(Protocol):
    """What can be read in pieces, and has to be closed."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class StoredOutput:
    """An output that was opened: its `size` in bytes, and by iteration its pieces, once. To be closed."""

    def __init__(
        self, size: int, source: Source, translated: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.size = size
        self._source = source
        self._translated = translated

    def __iter__(self) -> Iterator[bytes]:
        """Raises: Unavailable, where it breaks off."""
        with self._translated():
            while piece := self._source.read(CHUNK):
                yield piece

    def close(self) -> None:
        """Let go of it, read to its end or not."""
        self._source.close()


class ArtifactStore(ABC):
    """One store of artifacts and outputs. Every call may raise `Unavailable`."""

    def put(self, content: bytes) -> str:
        """Store the bytes durably and return their SHA-256 in hex."""
        return self.put_stream((content,)).sha256

    @abstractmethod
    def put_stream(self, chunks: Iterable[bytes]) -> Stored:
        """Store the chunks as one artifact, durably; at most one of them is in memory at a time.

        What `chunks` raises comes through (an OSError as `Unavailable`), and then nothing is stored.
        """

    @abstractmethod
    def fetch(self, sha256: str, target: Path) -> None:
        """Write the artifact to `target`, whole and checked or not at all, in bounded memory.

        Raises:
            NotFound: there is no such artifact.
            Corrupt: what lies under that name is something else.
        """

    @abstractmethod
    def size(self, sha256: str) -> int:
        """How many bytes the artifact has. Raises: NotFound."""

    @abstractmethod
    def location(self, sha256: str) -> str:
        """Where the artifact lies: s3://… or file://…"""

    def url(self, sha256: str, filename: str | None = None) -> str:
        """Where the artifact lies, with the file's name as the fragment, which whoever fetches it leaves out."""
        location = self.location(sha256)
        return location if filename is None else f"{location}#{quote(filename, safe='')}"

    def resolve(self, url: str) -> Address:
        """What a URL made by `url` names, whether or not the artifact is there.

        Raises:
            Invalid: it is not the URL of an artifact in this store, or the file's name is none.
        """
        location, has_name, name = url.partition("#")
        sha256 = location.rpartition("/")[2]
        if not _SHA256.fullmatch(sha256) or location != self.location(sha256):
            example = self.url("0" * 64, "backup.sh")
            raise Invalid(f"it names no artifact of this store; accepted: a URL such as {example}")
        filename = unquote(name) if has_name else None
        if filename is not None and not _is_plain(filename):
            raise Invalid(
                f"after the # a file's name is expected: up to {MAX_FILENAME} printable characters, no folder"
            )
        return Address(sha256, filename)

    @abstractmethod
    def put_output(self, name: OutputName, content: BinaryIO, size: int) -> None:
        """Store `size` bytes durably under the name, in place of what is there, in bounded memory.

        `content` stands at its beginning and can be set back to it. Where it can't be read, or has less, nothing is
        stored, and that is `Unavailable` too.
        """

    @abstractmethod
    def open_output(self, name: OutputName) -> StoredOutput:
        """What lies under the name. Raises: NotFound."""

    @abstractmethod
    def remove_outputs(self, names: Iterable[OutputName]) -> None:
        """Let nothing lie under these names any more, whether or not something did."""

    @abstractmethod
    def check(self) -> None:
        """Raise `Unavailable` where the store does not answer."""


def sha256_of(content: bytes) -> str:
    """The name of these bytes."""
    return hashlib.sha256(content).hexdigest()


def checked_name(sha256: str) -> str:
    """The name itself, once it is known to be 64 hex digits and so no path."""
    if not _SHA256.fullmatch(sha256):
        raise Invalid(f"{sha256!r} is not a SHA-256: 64 lower-case hex digits are expected")
    return sha256


def _is_plain(filename: str) -> bool:
    plain = filename.isprintable() and "/" not in filename and filename.strip(" ") not in ("", ".", "..")
    return plain and len(filename) <= MAX_FILENAME
