"""The parts of a cluster, and what can be done to each of them."""

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .clock import Clock
from .network import Place
from .processes import is_stopped, send, stop_all

RUN_TIMEOUT = 60.0


class Refused(Exception):
    """What was asked for can't be done to that part; the text says why, and what can."""


class State(StrEnum):
    """What a part's processes do."""

    RUNNING = "running"
    STOPPED = "stopped"
    DOWN = "down"


class Process(Protocol):
    """What runs: a server, a host, a worker, a crond."""

    def pids(self) -> list[int]:
        """Its processes, the one to show first; none where it is down."""

    def kill(self) -> None:
        """kill -9."""

    def launch(self) -> None:
        """Start it again."""

    def await_ready(self) -> None:
        """Return when it works."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: what runs, and where.

    What is done to it raises Refused where it makes no sense, such as killing what is down.
    """

    name: str
    kind: str
    ports: tuple[int, ...]
    process: Process
    place: Place
    clock: Clock | None
    alone: bool = True
    """Whether the place is its own, and so the cable."""

    @property
    def address(self) -> str:
        """Where it is reached."""
        ports = ",".join(map(str, self.ports))
        return f"{self.place.ip}:{ports}" if ports else self.place.ip

    def state(self) -> State:
        """Whether it runs."""
        pids = self.process.pids()
        if not pids:
            return State.DOWN
        return State.STOPPED if is_stopped(pids[0]) else State.RUNNING

    def kill(self) -> None:
        """kill -9 it."""
        self._require(State.RUNNING, State.STOPPED)
        self.process.kill()

    def stop(self) -> None:
        """SIGSTOP it."""
        self._require(State.RUNNING)
        stop_all(self.process.pids)

    def cont(self) -> None:
        """SIGCONT it."""
        self._require(State.STOPPED)
        send(self.process.pids(), signal.SIGCONT)

    def launch(self) -> None:
        """Start it again after a kill, without waiting until it works."""
        self._require(State.DOWN)
        self.process.launch()

    def cut(self) -> None:
        """Pull its network cable."""
        self._require_cable(cut=False)
        self.place.cut()

    def heal(self) -> None:
        """Plug it in again."""
        self._require_cable(cut=True)
        self.place.heal()

    def skew(self, seconds: float) -> None:
        """Have its clock be so many seconds ahead."""
        if self.clock is None:
            raise Refused(f"{self.name} has no clock of its own: hosts, APIs and managers have")
        self.clock.skew(seconds)

    def run(self, words: Sequence[str]) -> str:
        """Run a command where the part is, and return what it says."""
        done = subprocess.run(
            self.place.command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT,
        )
        return done.stdout

    def _require(self, *states: State) -> None:
        if (state := self.state()) not in states:
            raise Refused(f"{self.name} is {state}")

    def _require_cable(self, *, cut: bool) -> None:
        if not self.alone:
            raise Refused(f"{self.name} has no cable of its own: take {self.place.name}")
        if self.place.is_cut != cut:
            raise Refused(f"the cable of {self.name} is {'in' if cut else 'pulled already'}")
