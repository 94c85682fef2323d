"""The lease's deadline, where the wrapper of each run looks at it: whole seconds of /proc/uptime, or `never`."""

import math
from pathlib import Path

from cronkeeper.common.clock import boottime, uptime


def write(path: Path, deadline: float) -> None:
    """Replace it. `deadline` is on the lease's clock; what a shell can read may count from elsewhere."""
    if math.isinf(deadline):
        text = "never" if deadline > 0 else "0"
    else:
        text = str(math.floor(uptime() + deadline - boottime()))
    new = path.with_name(f".{path.name}.new")
    new.write_text(text + "\n")
    new.replace(path)
