"""The wall clock of a part, which may be put forward or back while the part runs."""

import hashlib
import struct
import subprocess
from pathlib import Path

from .cache import cached
from .server import program

SOURCE = Path(__file__).with_name("skew.c")
NANOSECONDS = 1e9
_FORM = struct.Struct("=q")


class Clock:
    """A clock; the processes that have `environment` go by it, as far as they ask the C library for the time.

    What starts from them with an environment of its own, as jobs do, has the machine's time.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the file to keep the offset in."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_FORM.pack(0))

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a process."""
        return {"LD_PRELOAD": str(_library()), "CRONKEEPER_TESTBED_CLOCK": str(self._path)}

    @property
    def offset(self) -> float:
        """Seconds ahead of the machine's clock."""
        return float(_FORM.unpack(self._path.read_bytes())[0] / NANOSECONDS)

    def skew(self, seconds: float) -> None:
        """Be `seconds` ahead of the machine's clock from now on."""
        with self._path.open("r+b", buffering=0) as file:
            file.write(_FORM.pack(round(seconds * NANOSECONDS)))


def _library() -> Path:
    def build(folder: Path) -> None:
        options = ["-shared", "-fPIC", "-o", str(folder / "skew.so"), str(SOURCE)]
        subprocess.run([program("tcc"), *options], check=True)

    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    return cached(f"skew-{version}", build) / "skew.so"
