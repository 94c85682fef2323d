"""What is kept of what a run wrote: all of it up to a cap, else its beginning and its end with a note between."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

IN_REPORT = 64 * 1024
"""Bytes of each stream that go along in a report, and stay in SQL."""
TAIL = 16 * 1024
"""Bytes of the end, where the cap allows that."""
NOTE_ROOM = 64
"""Bytes that are left for the note, so that what is kept with it is shorter than what was written."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The first `head` bytes, the note, and the last `tail` bytes."""

    head: int
    note: bytes
    tail: int

    @property
    def size(self) -> int:
        """Bytes of all three."""
        return self.head + len(self.note) + self.tail


def keep(size: int, cap: int) -> Kept:
    """What is kept, in at most `cap` bytes, of `size` bytes; with too small a cap for a note, the beginning."""
    if size <= cap or cap <= NOTE_ROOM:
        return Kept(min(size, cap), b"", 0)
    tail = min(TAIL, cap // 4, cap - NOTE_ROOM)
    head = cap - tail - NOTE_ROOM
    return Kept(head, f"\n[cronkeeper: {size - head - tail} bytes left out here]\n".encode(), tail)


class KeptFile(io.RawIOBase):
    """What is kept of a file, as a file: whoever stores it may have to read it a second time.

    Args:
        size: how many bytes of the file count; what a process that was left behind adds to them does not.

    Raises:
        OSError: also where the file has become shorter.
    """

    def __init__(self, path: Path, size: int, cap: int) -> None:
        self._written = size
        self._kept = keep(size, cap)
        self._at = 0
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def size(self) -> int:
        """Bytes that there are to read."""
        return self._kept.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _piece(self, most: int) -> bytes:
        kept, at = self._kept, self._at
        in_note = at - kept.head
        if 0 <= in_note < len(kept.note):
            return kept.note[in_note : in_note + most]
        if at >= self.size:
            return b""
        left, offset = (
            (kept.head - at, at) if at < kept.head else (self.size - at, self._written - self.size + at)
        )
        piece = os.pread(self._descriptor, min(most, left), offset)
        if not piece:
            raise OSError("what the run wrote has become shorter")
        return piece

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
