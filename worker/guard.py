"""The guard: the small parent of a daemon. It starts the daemon again whenever that dies.

It runs as a program of its own that imports next to nothing: so it stays small, and there is little of it that
could fail. The daemon dies with its guard, for two daemons must not share one home; the runs outlive both.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

REFUSED = 78
"""The exit code of a daemon that can't work as it was asked to (EX_CONFIG): starting it again won't help."""
VARIABLE = "CRONKEEPER_GUARD"
SMALL = {"MALLOC_ARENA_MAX": "1"}
"""The daemon's threads mostly wait for each other, so arenas of their own only cost memory (mallopt(3))."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
WELL_AFTER = 60.0
"""Seconds after which a daemon has started well, and the pauses begin from the first one again."""
_PR_SET_PDEATHSIG = 1


def become_guard(command: Sequence[str]) -> NoReturn:
    """Let this process go on as the guard of a command."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, *command])


class _Signals:
    """Passes on to the daemon what tells the guard to stop, and SIGHUP, which is for the daemon alone."""

    def __init__(self) -> None:
        self._child: int | None = None
        self._told = self._hung_up = False
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._pass_on)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) has it, for all that follows
            signal.signal(signal.SIGHUP, self._hang_up)

    def told(self) -> bool:
        """Whether the guard was told to stop."""
        return self._told

    def to(self, child: int | None) -> None:
        """Whom to tell: also of what came before there was anybody."""
        self._child = child
        if self._told:
            self._tell()
        if self._hung_up and child is not None:
            self._hung_up = False
            self._send(signal.SIGHUP)

    def _pass_on(self, _signal: int, _frame: FrameType | None) -> None:
        self._told = True
        self._tell()

    def _hang_up(self, _signal: int, _frame: FrameType | None) -> None:
        self._hung_up = self._child is None
        self._send(signal.SIGHUP)

    def _tell(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        try:
            os.kill(self._child, number)
        except ProcessLookupError:
            return


def guard(command: Sequence[str]) -> int:
    """Run the daemon until it ends by itself or is told to; returns its exit code."""
    signals = _Signals()
    pause, code = FIRST_PAUSE, 0
    while not signals.told():
        began = time.monotonic()
        variables = {**os.environ, **SMALL, VARIABLE: str(os.getpid())}
        # One that is not ready for SIGHUP yet finds it waiting, when it is: it would end by it.
        child = os.posix_spawn(command[0], list(command), variables, setsigmask=[signal.SIGHUP])
        signals.to(child)
        _, status = os.waitpid(child, 0)
        signals.to(None)
        code = os.waitstatus_to_exitcode(status)
        if code in (0, REFUSED) or signals.told():
            break
        if time.monotonic() - began > WELL_AFTER:
            pause = FIRST_PAUSE
        print(f"cronkeeper: the daemon has ended ({code}) and is started again", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return code if code >= 0 else 128 - code


def die_with_guard() -> None:
    """To be called first in the daemon: have the kernel end it when its guard ends."""
    import ctypes

    parent = os.environ.pop(VARIABLE, None)
    if parent is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != int(parent):
        os._exit(1)


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
