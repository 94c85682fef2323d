"""Three ZooKeepers on this machine, and trees in them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbed.services import ZooKeeper

ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
HEAP = {"-Xmx128m": "-Xmx1g"}
"""For some hundred thousand znodes."""


class LargeZooKeeper(ZooKeeper):
    """One of the test-bed's, with a larger heap."""

    def command(self) -> list[str]:
        return [HEAP.get(word, word) for word in super().command()]


@contextmanager
def ensemble(home: Path) -> Iterator[str]:
    """Three that write every change to the disk before they answer; the value is what a client connects to."""
    servers = [LargeZooKeeper(home / f"zk{number}", host) for number, host in enumerate(ADDRESSES, 1)]
    with ExitStack() as stack:
        for server in servers:
            server.peers = list(ADDRESSES)
            stack.callback(server.kill)
            server.launch()
        for server in servers:
            server.await_ready()
        yield ",".join(server.hosts for server in servers)
