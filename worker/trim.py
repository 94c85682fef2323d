"""Keeps runs that write without end from filling the disk: the middle, which nobody will keep, is freed."""

import ctypes
import errno
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cronkeeper.worker.kept import TAIL
from cronkeeper.worker.run_folder import RunFolder

log = logging.getLogger(__name__)

LOOK_EVERY = 10.0
SLACK = 1024 * 1024
"""Bytes on the disk beyond what is kept that are not worth a call."""
PUNCH_HOLE = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE (linux/falloc.h)."""
BLOCK = 512
"""What stat(2) counts a file's space in."""


def punch(path: str, offset: int, length: int) -> None:
    """Free these bytes of a file, which are read as zeros from then on; its size stays. Raises: OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if _fallocate(descriptor, PUNCH_HOLE, offset, length) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


@dataclass(slots=True)
class Trim:
    """Looks at what the runs in progress have written; times are uptimes."""

    uptime: Callable[[], float]
    free: Callable[[str, int, int], None] = punch
    _next: float = field(init=False)
    _impossible: bool = False

    def __post_init__(self) -> None:
        self._next = self.uptime() + LOOK_EVERY

    def look(self, running: Iterable[RunFolder]) -> None:
        """Free what is too much, if it is time to look again."""
        if self.uptime() < self._next:
            return
        self._next = self.uptime() + LOOK_EVERY
        for folder in () if self._impossible else running:
            for stream in ("stdout", "stderr"):
                self._trim(folder, stream)

    def wait(self) -> float:
        """Seconds until `look` is wanted, where something runs."""
        return max(0.0, self._next - self.uptime())

    def _trim(self, folder: RunFolder, stream: str) -> None:
        path, cap = folder.path / stream, folder.plan.spec.max_output
        try:
            found = path.stat()
            if found.st_blocks * BLOCK > cap + TAIL + SLACK and found.st_size > cap + TAIL:
                self.free(str(path), cap, found.st_size - TAIL - cap)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
                self._impossible = True
            log.warning(
                "what run %s writes beyond its max_output stays on the disk: %s", folder.plan.run_id, error
            )
