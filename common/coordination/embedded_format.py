"""The bytes of the file that the embedded tree's persistent nodes live in.

    header   b"CKTREE1\\n", the size of header and snapshot together, CRC-32 of these two
    records  b"rec:", the body's length, its CRC-32, and the body: the mark, and rows as msgpack

First come the records of the snapshot, then one for each commit. A record's mark is how much of the file
was known to be on the disk when it was written: that tells one that was being written when the machine
died, which nobody was promised, from one that was damaged later.
"""

import errno
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from cronkeeper.common.errors import CronkeeperError

from .tree import Node

log = logging.getLogger(__name__)

_MAGIC = b"CKTREE1\n"
_HEADER = struct.Struct(">8sQ")
_CRC = struct.Struct(">I")
_MARKER = b"rec:"
_RECORD = struct.Struct(">4sII")
_MARK = struct.Struct(">Q")
_NODES_PER_RECORD = 64

_Row = tuple[str, bytes | None, int]
"""Path, data, version. No data: there is no such node any more."""
_decoder = msgspec.msgpack.Decoder(list[_Row])


class Damaged(CronkeeperError):
    """The file has lost something that was promised to be kept."""


@dataclass(frozen=True, slots=True)
class _Record:
    mark: int
    rows: list[_Row]
    end: int


def read_file(path: Path) -> dict[str, Node]:
    """The nodes in the file. A tail that is no whole record is left out, with a warning.

    Raises: Damaged.
    """
    nodes: dict[str, Node] = {}
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _HEADER.size + _CRC.size:
            raise _damaged(path, 0)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            for row_path, data, version in _rows(path, content):
                if data is None:
                    nodes.pop(row_path, None)
                else:
                    nodes[row_path] = Node(data, version, 0)
    return nodes


def write_snapshot(file: int, nodes: Iterable[tuple[str, Node]]) -> int:
    """Fill an empty file with header and snapshot. Returns the size. Raises: OSError."""
    size = _HEADER.size + _CRC.size
    remaining = iter(nodes)
    while some := list(islice(remaining, _NODES_PER_RECORD)):
        record = encode_record(size, some)
        write_at(file, record, size)
        size += len(record)
    header = _HEADER.pack(_MAGIC, size)
    write_at(file, header + _CRC.pack(zlib.crc32(header)), 0)
    return size


def encode_record(mark: int, changes: Iterable[tuple[str, Node | None]]) -> bytes:
    """One commit's record, or a part of the snapshot. None stands for a node that was deleted."""
    rows = [(path, None, 0) if node is None else (path, node.data, node.version) for path, node in changes]
    body = _MARK.pack(mark) + msgspec.msgpack.encode(rows)
    return _RECORD.pack(_MARKER, len(body), zlib.crc32(body)) + body


def write_at(file: int, data: bytes, offset: int) -> None:
    """Write all of the data or raise OSError; a part may have been written then."""
    if os.pwrite(file, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _rows(path: Path, content: mmap.mmap) -> Iterator[_Row]:
    magic, snapshot = _HEADER.unpack_from(content)
    (crc,) = _CRC.unpack_from(content, _HEADER.size)
    if magic != _MAGIC or crc != zlib.crc32(content[: _HEADER.size]) or snapshot > len(content):
        raise _damaged(path, 0)
    offset = _HEADER.size + _CRC.size
    while offset < len(content):
        record = _record_at(content, offset)
        if record is None:
            if offset < snapshot or _was_kept(content, offset):
                raise _damaged(path, offset)
            log.warning("%s ends with no whole record: cut off at byte %d of %d", path, offset, len(content))
            return
        yield from record.rows
        offset = record.end


def _record_at(content: mmap.mmap, offset: int) -> _Record | None:
    """The record at the offset, None where there is no whole one."""
    start = offset + _RECORD.size
    if start + _MARK.size > len(content):
        return None
    marker, length, crc = _RECORD.unpack_from(content, offset)
    end = start + length
    if marker != _MARKER or length < _MARK.size or end > len(content):
        return None
    body = content[start:end]
    if zlib.crc32(body) != crc:
        return None
    return _Record(_MARK.unpack_from(body)[0], _decoder.decode(body[_MARK.size :]), end)


def _was_kept(content: mmap.mmap, offset: int) -> bool:
    """Whether a later record says that what lies at the offset had reached the disk."""
    later = content.find(_MARKER, offset + 1)
    while later >= 0:
        record = _record_at(content, later)
        if record is not None and record.mark > offset:
            return True
        later = content.find(_MARKER, later + 1)
    return False


def _damaged(path: Path, offset: int) -> Damaged:
    return Damaged(
        f"{path} is damaged at byte {offset}, in what had been kept. Put back a copy of it; or, where there "
        "is none, move it away and start again: every job is then published anew from the database"
    )
