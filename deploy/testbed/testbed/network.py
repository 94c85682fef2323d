"""A network on one machine, apart from the machine's own: a hub at 10.77.0.1 with a cable to each place on it."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from .server import dying_with_us, program

HUB = "10.77.0.1"
BITS = 24
# Says that it is in its namespace, and ends when whoever holds the other end of its input does.
HOLDER = "ip link set lo up && echo ready && exec cat"


class Place(Protocol):
    """What a cable leads to: a host, or a room."""

    @property
    def name(self) -> str: ...

    @property
    def ip(self) -> str: ...

    @property
    def is_cut(self) -> bool:
        """Whether its network cable is pulled."""

    def cut(self) -> None:
        """Pull its network cable."""

    def heal(self) -> None:
        """Plug it in again."""

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """What to run on the machine so that `argv` runs there."""

    def stop(self) -> None:
        """Give it up."""


class Namespace:
    """A network namespace that has no name: it is gone when nobody is in it, however we end.

    Must be made in the main thread.
    """

    def __init__(self) -> None:
        _check_root()
        command = [*dying_with_us(), program("unshare"), "--net", "--", "/bin/sh", "-c", HOLDER]
        # In a session of its own, as Ctrl-C is not for it.
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        await_ready(self._holder, "the network namespace")

    @property
    def holder(self) -> int:
        """The process that keeps it."""
        return self._holder.pid

    @property
    def namespace(self) -> Path:
        """For `in_namespace`."""
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command so that it runs in there: also a server's `prefix`."""
        return (program("nsenter"), f"--net={self.namespace}", "--")

    def close(self) -> None:
        """Give it up."""
        end(self._holder)


class Network(Namespace):
    """A bridge, the hub. Networks know nothing of each other, so that all have the same addresses."""

    def __init__(self) -> None:
        super().__init__()
        self._places: list[Place] = []
        self._cut: set[str] = set()
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("addr", "add", f"{HUB}/{BITS}", "dev", "br0")
        self._ip("link", "set", "br0", "up")

    def attach(self, place: Place, pid: int) -> None:
        """Lay a cable from the hub to the network namespace of a process, and give that its address."""
        cable = _cable(place)
        if place not in self._places:
            self._places.append(place)
        self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip("link", "set", cable, "master", "br0", "up")
        inside = [program("nsenter"), f"--net=/proc/{pid}/ns/net", "--", program("ip")]
        for command in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{place.ip}/{BITS}", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            subprocess.run([*inside, *command], check=True)

    def detach(self, place: Place) -> None:
        """Take the cable away, so that the others see silence and no farewell."""
        self._cut.discard(place.name)
        self._ip("link", "delete", _cable(place))

    def cut(self, place: Place) -> None:
        """Pull the cable: what is sent to the place or by it is lost without a word."""
        self._ip("link", "set", _cable(place), "down")
        self._cut.add(place.name)

    def heal(self, place: Place) -> None:
        """Plug it in again."""
        self._ip("link", "set", _cable(place), "up")
        self._cut.discard(place.name)

    def is_cut(self, place: Place) -> bool:
        """Whether the cable is pulled."""
        return place.name in self._cut

    def close(self) -> None:
        """Stop every place, and give up the network."""
        for place in self._places:
            place.stop()
        super().close()

    def _ip(self, *arguments: str) -> None:
        subprocess.run([*self.prefix, program("ip"), *arguments], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Room(Namespace):
    """A place for a server that needs no whole host: an address and a cable of its own, the machine's files."""

    def __init__(self, network: Network, name: str, ip: str) -> None:
        super().__init__()
        self.name = name
        self.ip = ip
        self._network = network
        network.attach(self, self.holder)

    @property
    def is_cut(self) -> bool:
        return self._network.is_cut(self)

    def cut(self) -> None:
        self._network.cut(self)

    def heal(self) -> None:
        self._network.heal(self)

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        return [*dying_with_us(), *self.prefix, *map(str, argv)]

    def stop(self) -> None:
        self.close()


def await_ready(process: subprocess.Popen[bytes], what: str) -> None:
    """Wait for the line in which a process says that it is ready."""
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        end(process)
        raise RuntimeError(f"{what} could not be made: {process.args!r}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, wait until it is gone, and let go of its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _cable(place: Place) -> str:
    """The name of the hub's end of the cable; Linux allows 15 bytes."""
    return f"v-{place.name}"[:15]


def _check_root() -> None:
    if os.geteuid() != 0:
        raise RuntimeError("hosts are made of namespaces, which takes root: run this as root")
