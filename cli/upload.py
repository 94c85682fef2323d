"""Files that are too large for a job's own request: they are put before it, and the job names them by their URL."""

import io
import os
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from .client import Client, Refused

LARGE = 8 * 1024 * 1024
"""Bytes; the API takes twice as many in a job's own request."""
LARGEST = 1024**3
"""Bytes of a file that the API takes."""
PATIENCE = 3600.0
"""Seconds that the answer may take, once all of 1 GiB has been sent."""


def is_large(file: io.BufferedReader) -> bool:
    """Whether it is a file on the disk, and too large to be read whole."""
    found = os.fstat(file.fileno())
    return stat.S_ISREG(found.st_mode) and found.st_size > LARGE


def put_first(client: Client, made: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a job, with the URL of its file, which is put now, in place of a large one.

    Raises: what `Client.call` raises; Refused, where the file is larger than what the API takes.
    """
    file = made.get("executable")
    if not isinstance(file, io.BufferedReader):
        return dict(made)
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST:
        raise Refused(f"executable: the file is too large; accepted: up to {LARGEST} bytes")
    with _shown(file, size, made["filename"]) as body:
        put = client.put("/artifacts", body, size, patience=PATIENCE).json
    return {**made, "executable": put["url"]}


def _shown(file: io.BufferedReader, size: int, name: str) -> AbstractContextManager[BinaryIO]:
    """The file, of which a bar on standard error shows how much has been read; on a terminal only."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    return wrap_file(
        file, size, description=name, console=console, disable=not console.is_terminal, transient=True
    )
