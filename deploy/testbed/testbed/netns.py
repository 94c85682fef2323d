"""Entering a network namespace, so that a test can open sockets on a network that it is not on."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
OWN = Path("/proc/thread-self/ns/net")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def in_namespace(path: Path) -> Iterator[None]:
    """Have the calling thread in the network namespace at `path`, such as /proc/<pid>/ns/net.

    A socket stays in the namespace that it was opened in, also after the block. Other threads stay where
    they are, and so do servers that a library starts in threads of its own.

    Raises:
        OSError: there is no such namespace, or we may not enter it.
    """
    before = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(path)
        try:
            yield
        finally:
            _set_namespace(before)
    finally:
        os.close(before)


def _enter(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_namespace(handle)
    finally:
        os.close(handle)


def _set_namespace(handle: int) -> None:
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
