"""Where artifacts lie. Content is addressed by its SHA-256: put twice it is stored once and never changes."""

import hashlib
import re
from abc import ABC, abstractmethod
from pathlib import Path

from cronkeeper.common.errors import CronkeeperError, Invalid

CHUNK = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Corrupt(CronkeeperError):
    """What was fetched does not have the SHA-256 that it was asked for by."""


class ArtifactStore(ABC):
    """One store of artifacts. Every call may raise `Unavailable`."""

    @abstractmethod
    def put(self, content: bytes) -> str:
        """Store the bytes durably and return their SHA-256 in hex."""

    @abstractmethod
    def fetch(self, sha256: str, target: Path) -> None:
        """Write the artifact to `target`, whole and checked or not at all, in bounded memory.

        Raises:
            NotFound: there is no such artifact.
            Corrupt: what lies under that name is something else.
        """

    @abstractmethod
    def url(self, sha256: str) -> str:
        """Where the artifact lies, for people: s3://… or file://…"""

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
