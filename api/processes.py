"""One set of figures for all processes of an API: they lie in a folder, and whichever is asked tells the sums.

Nothing of the API is imported here: the folder must be named before prometheus_client is loaded.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""As prometheus_client names it."""


@contextmanager
def figures_in_common() -> Iterator[None]:
    """Make the folder, which only this user can read, and remove it in the end."""
    folder = tempfile.mkdtemp(prefix="cronkeeper-figures-")
    owner = os.getpid()
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        # The processes that gunicorn forks leave by this way too.
        if os.getpid() == owner:
            del os.environ[FOLDER]
            shutil.rmtree(folder, ignore_errors=True)
