"""A network of hosts on one machine: a hub at 10.77.0.1 with a cable to each host, apart from the machine's own."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .server import dying_with_us, program

if TYPE_CHECKING:
    from .hosts import Host

HUB = "10.77.0.1"
BITS = 24
# Says that it is in its namespace, and ends when whoever holds the other end of its input does.
HOLDER = "ip link set lo up && echo ready && exec cat"


class Network:
    """A bridge in a network namespace that has no name: it is gone when nobody is in it, however we end.

    Networks know nothing of each other, so that all have the same addresses. Must be made in the main thread.
    """

    def __init__(self) -> None:
        _check_root()
        command = [*dying_with_us(), program("unshare"), "--net", "--", "/bin/sh", "-c", HOLDER]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._hosts: list[Host] = []
        await_ready(self._holder, "the network namespace")
        self.ip("link", "add", "br0", "type", "bridge")
        self.ip("addr", "add", f"{HUB}/{BITS}", "dev", "br0")
        self.ip("link", "set", "br0", "up")

    @property
    def namespace(self) -> Path:
        """The hub's namespace, for `in_namespace`."""
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command so that it runs on the hub: also a server's `prefix`."""
        return (program("nsenter"), f"--net={self.namespace}", "--")

    def ip(self, *arguments: str) -> None:
        """ip(8) on the hub."""
        subprocess.run([*self.prefix, program("ip"), *arguments], check=True)

    def attach(self, host: "Host", pid: int) -> None:
        """Lay a cable from the hub to the network namespace of a process, and give that its address."""
        cable = _cable(host)
        if host not in self._hosts:
            self._hosts.append(host)
        self.ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self.ip("link", "set", cable, "master", "br0", "up")
        inside = [program("nsenter"), f"--net=/proc/{pid}/ns/net", "--", program("ip")]
        for command in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{host.ip}/{BITS}", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            subprocess.run([*inside, *command], check=True)

    def detach(self, host: "Host") -> None:
        """Take the cable away, so that the other hosts see silence and no farewell."""
        self.ip("link", "delete", _cable(host))

    def cut(self, host: "Host") -> None:
        """Pull the host's cable: what is sent to it or by it is lost without a word."""
        self.ip("link", "set", _cable(host), "down")

    def heal(self, host: "Host") -> None:
        """Plug it in again."""
        self.ip("link", "set", _cable(host), "up")

    def close(self) -> None:
        """Stop every host, and give up the network."""
        for host in self._hosts:
            host.stop()
        end(self._holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def _cable(host: "Host") -> str:
    """The name of the hub's end of the cable; Linux allows 15 bytes."""
    return f"v-{host.name}"[:15]


def _check_root() -> None:
    if os.geteuid() != 0:
        raise RuntimeError("hosts are made of namespaces, which takes root: run this as root")
