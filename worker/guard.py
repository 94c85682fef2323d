"""The guard: the small parent of a daemon. It starts the daemon again whenever that dies.

And when a worker's lease has been over for long it starts the program that stops what must be stopped (`fence`),
for the daemon may be dead, or hang. Where the files are that say so, the daemon tells it by a pipe.

It runs as a program of its own that imports next to nothing: so it stays small, and there is little of it that
could fail. The daemon dies with its guard, for two daemons must not share one home; the runs outlive both.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

REFUSED = 78
"""The exit code of a daemon that can't work as it was asked to (EX_CONFIG): starting it again won't help."""
VARIABLE = "CRONKEEPER_GUARD"
"""The guard's process number, and nothing else: guard and daemon may be of different versions."""
PIPE = "_CRONKEEPER_GUARD_PIPE"
"""Not of the prefix of settings: a daemon that does not know it would refuse to start."""
FENCE = "cronkeeper.worker.fence"
FENCE_AHEAD = 40.0
"""Seconds before a node's runs must have ended at which their stopping is prepared: more than any job's grace."""
LOOK_EVERY = 1.0
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


class _Fence:
    """Starts the program that stops runs, when it is time."""

    def __init__(self, python: str) -> None:
        self._python = python
        self._home = b""
        self._reads, self.writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_inheritable(self.writes, True)
        self._child: int | None = None
        self._dealt_with = 0.0

    def look(self, *, leaving: bool = False) -> None:
        """Start it where it is time, or where nobody will look later; once for each deadline."""
        self._listen()
        deadlines = self._deadlines()
        if self._child is not None or deadlines is None or deadlines[1] == self._dealt_with:
            self._reap()
            return
        start, stop = deadlines
        if leaving or float(_read(b"/proc/uptime").split()[0]) >= max(start, stop - FENCE_AHEAD):
            words = [self._python, "-m", FENCE, os.fsdecode(self._home)]
            try:
                self._child = os.posix_spawn(words[0], words, dict(os.environ), setsid=True)
            except OSError as error:  # short of memory or processes: the guard must live, and tries again
                print(f"cronkeeper: the fence can't be started: {error}", file=sys.stderr, flush=True)
            else:
                self._dealt_with = stop

    def _listen(self) -> None:
        try:
            self._home = os.read(self._reads, 4096).split(b"\0")[-2]
        except BlockingIOError:
            return

    def _deadlines(self) -> tuple[float, float] | None:
        """When the lease ends, and when runs must have ended, as uptimes; None: never, or this is no worker."""
        try:
            start, stop = _read(self._home + b"/lease").split()
            return (float(start), float(stop)) if self._home else None
        except (OSError, ValueError):
            return None

    def _reap(self) -> None:
        if self._child is None:
            return
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid:
            self._child = None
            if status:  # it did not do its work
                self._dealt_with = 0.0


def _read(path: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _wait(child: int, fence: _Fence) -> int:
    """Returns the exit code of the daemon when it has ended."""
    descriptor = os.pidfd_open(child)
    try:
        while not select.select([descriptor], [], [], LOOK_EVERY)[0]:
            fence.look()
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def guard(command: Sequence[str]) -> int:
    """Run the daemon until it ends by itself or is told to; returns its exit code."""
    signals, fence = _Signals(), _Fence(command[0])
    pause, code = FIRST_PAUSE, 0
    while not signals.told():
        began = time.monotonic()
        variables = {**os.environ, **SMALL, VARIABLE: str(os.getpid()), PIPE: str(fence.writes)}
        # One that is not ready for SIGHUP yet finds it waiting, when it is: it would end by it.
        child = os.posix_spawn(command[0], list(command), variables, setsigmask=[signal.SIGHUP])
        signals.to(child)
        code = _wait(child, fence)
        signals.to(None)
        if code in (0, REFUSED) or signals.told():
            break
        if time.monotonic() - began > WELL_AFTER:
            pause = FIRST_PAUSE
        print(f"cronkeeper: the daemon has ended ({code}) and is started again", file=sys.stderr, flush=True)
        time.sleep(pause)
        fence.look()
        pause = min(2 * pause, LONGEST_PAUSE)
    fence.look(leaving=True)  # it goes on without us, as the runs do
    return code if code >= 0 else 128 - code


def die_with_guard() -> int | None:
    """To be called first in the daemon: have the kernel end it with its guard.

    Returns the pipe to the guard; None where there is none, or one of a version without.
    """
    import ctypes

    parent, pipe = os.environ.pop(VARIABLE, None), os.environ.pop(PIPE, None)
    if parent is None:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != int(parent):
        os._exit(1)
    if pipe is None:
        return None
    os.set_inheritable(int(pipe), False)
    return int(pipe)


def tell_guard(pipe: int | None, home: str) -> None:
    """To be called in a worker's daemon: where its lease and its runs are. `pipe` is of `die_with_guard`."""
    if pipe is not None:
        os.write(pipe, os.fsencode(home) + b"\0")


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
