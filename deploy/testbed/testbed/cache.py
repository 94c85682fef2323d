"""What is made once per user and machine, because making it takes longer than using it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The user's folder of that name; `make` fills it where there is none yet."""
    path = Path(tempfile.gettempdir()) / f"cronkeeper-testbed-{os.geteuid()}" / name
    if path.exists():
        return path
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        make(new)
        new.rename(path)
    except BaseException as error:
        shutil.rmtree(new)
        if not isinstance(error, OSError) or not path.exists():
            raise  # else another process was faster
    return path
