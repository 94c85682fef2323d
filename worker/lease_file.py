"""The lease's deadline, where the wrapper of each run looks at it: whole seconds of /proc/uptime, or `never`."""

import math
from pathlib import Path

from cronkeeper.common.clock import uptime


def write(path: Path, left: float) -> None:
    """Replace it. `left` is how many seconds the lease still has: its clock is not one that a shell can read."""
    text = "never" if left == math.inf else str(math.floor(max(0.0, uptime() + left)))
    new = path.with_name(f".{path.name}.new")
    new.write_text(text + "\n")
    new.replace(path)
