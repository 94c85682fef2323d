"""The guard: the small parent of a daemon. It starts the daemon again whenever that dies.

It imports next to nothing, so that it stays small and has little to fail of. The daemon dies with its guard,
for two daemons must not share one home; the runs outlive both.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

REFUSED = 78
"""The exit code of a daemon that can't work as it was asked to (EX_CONFIG): starting it again won't help."""
VARIABLE = "CRONKEEPER_GUARD"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
WELL_AFTER = 60.0
"""Seconds after which a daemon has started well, and the pauses begin from the first one again."""
_PR_SET_PDEATHSIG = 1


def guard(command: Sequence[str]) -> int:
    """Run the daemon until it ends by itself or is told to; returns its exit code."""
    child: subprocess.Popen[bytes] | None = None
    told = False

    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        nonlocal told
        told = True
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        child = subprocess.Popen(command, env={**os.environ, VARIABLE: str(os.getpid())})
        code = child.wait()
        if code in (0, REFUSED) or told:
            return code
        if time.monotonic() - began > WELL_AFTER:
            pause = FIRST_PAUSE
        print(
            f"cronkeeper: the daemon has ended with {code}, it is started again", file=sys.stderr, flush=True
        )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def die_with_guard() -> None:
    """To be called first in the daemon: have the kernel end it when its guard ends."""
    parent = os.environ.pop(VARIABLE, None)
    if parent is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != int(parent):
        os._exit(1)
