"""What a run wrote, as its folder has it: what goes along in a report, and letting go of it to make room."""

import os
from pathlib import Path

from cronkeeper.common.model import Output, Report, replace
from cronkeeper.worker.kept import IN_REPORT, KeptFile
from cronkeeper.worker.run_folder import RunFolder

STREAMS = ("stdout", "stderr")
SMALL = 4096
"""Bytes of a stream that are never dropped: that would free a block at most."""
BLOCK = 512
"""What stat(2) counts a file's space in."""


def size_of(folder: RunFolder, stream: str) -> int:
    """How many bytes the run wrote."""
    for path in (folder.path / stream, _dropped(folder, stream)):
        try:
            return path.stat().st_size
        except OSError:
            continue
    return 0


def read(folder: RunFolder, stream: str, size: int | None = None) -> Output:
    """What the run wrote, as far as it goes along in a report.

    Args:
        size: how many bytes count; None: as many as there are.
    """
    size = size_of(folder, stream) if size is None else size
    if size == 0:  # most runs leave one of them empty at least
        return Output(size=0, data=b"")
    try:
        with KeptFile(folder.path / stream, size, min(folder.plan.spec.max_output, IN_REPORT)) as kept:
            data = kept.readall()
    except OSError:  # not there, or cut short at this moment by a process that was left behind
        data = b""
    return Output(size=size, data=_note(folder, size) if is_dropped(folder, stream) else data)


def with_outputs(report: Report, folder: RunFolder) -> Report:
    """The report of an end, with what the run wrote in place of the mere sizes."""
    outputs = {"stdout": report.stdout, "stderr": report.stderr}
    full = {
        stream: replace(output, data=read(folder, stream, output.size).data)
        for stream, output in outputs.items()
        if output is not None and output.size > 0
    }
    return replace(report, **full) if full else report


def weight(folder: RunFolder) -> int:
    """Bytes on the disk that dropping the outputs would free."""
    return sum(_weight(folder, stream) for stream in STREAMS)


def drop(folder: RunFolder) -> None:
    """Free the room that the outputs take up, for good; their sizes stay known. Raises: OSError.

    The name is changed first, for which a full disk has room: whoever finds the old one finds all of it.
    """
    for stream in STREAMS:
        if _weight(folder, stream) > 0:
            hole = _dropped(folder, stream)
            (folder.path / stream).rename(hole)
            size = hole.stat().st_size
            os.truncate(hole, 0)
            os.truncate(hole, size)


def is_dropped(folder: RunFolder, stream: str) -> bool:
    """Whether it was."""
    return not (folder.path / stream).exists() and _dropped(folder, stream).exists()


def _dropped(folder: RunFolder, stream: str) -> Path:
    """Where the file is, all hole, and as large as it was, once its content was dropped."""
    return folder.path / f"{stream}.dropped"


def _weight(folder: RunFolder, stream: str) -> int:
    try:
        found = (folder.path / stream).stat()
    except OSError:
        return 0
    return found.st_blocks * BLOCK if found.st_size > SMALL else 0


def _note(folder: RunFolder, size: int) -> bytes:
    why = "the node's disk was filling up before they could be handed over"
    return f"[cronkeeper: all {size} bytes were dropped: {why}]\n".encode()[: folder.plan.spec.max_output]
