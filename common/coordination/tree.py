"""The tree: small versioned nodes with ZooKeeper's semantics. What the two implementations must keep to.

Paths are absolute below the fleet's root, without a trailing slash; "/" is the root, which always exists.
Persistent nodes survive anything; an ephemeral one lives as long as the session that made it.

A call that raises `Unavailable` may have been carried out: the reply may be what was lost. Whoever writes
therefore writes compare-and-set or by a unique name, and after `Unavailable` calls `sync`, reads back, and
repeats the same write where it did not land.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cronkeeper.common.errors import Conflict, NotFound

MAX_BATCH_BYTES = 512 * 1024
"""Half of ZooKeeper's default jute.maxbuffer: no write, and no batch of writes, may be larger."""


class NoNode(NotFound):
    """The node, or the parent of a node to create, does not exist."""


class NodeExists(Conflict):
    """There is a node of that name already."""


class BadVersion(Conflict):
    """The node is not at the version that was named."""


class NotEmpty(Conflict):
    """The node to delete has children."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it was read. `version` counts the changes of its data, from 0."""

    data: bytes
    version: int
    owner: int
    """The session that an ephemeral node lives with; 0 for a persistent one."""
    modified: float = field(default=0.0, compare=False)
    """When the data was last written, in seconds since 1970 by the clock of whoever keeps the tree; 0: unknown."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make a node. Its parent must exist and must not be ephemeral."""

    path: str
    data: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class SetData:
    """Change a node's data, at the version that is known."""

    path: str
    data: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a node without children, at the version that is known."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Check:
    """Let the batch pass only if the node is at this version."""

    path: str
    version: int


Op = Create | SetData | Delete | Check
Batch = Sequence[Op]


class Connection(StrEnum):
    """What is known of the link. Only an answer proves a right: see `lease`."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Session:
    """A session, so that a daemon that is started again can come back to it. The password is a secret."""

    id: int
    password: bytes = field(repr=False)
    timeout: float
    """Seconds without a sign of life after which the server ends the session, as negotiated."""


class Tree(ABC):
    """One client of the tree, for any number of threads. Watches fire on another one and must only set an event.

    Every call raises `Unavailable` where no answer came in time.
    """

    @abstractmethod
    def get(self, path: str) -> Node:
        """Raises: NoNode."""

    @abstractmethod
    def get_many(self, paths: Sequence[str]) -> list[Node | None]:
        """All of them in one pipeline, in order; None where there is no such node."""

    @abstractmethod
    def children(self, path: str) -> list[str]:
        """The names, not paths, of the nodes right below, sorted. Raises: NoNode."""

    @abstractmethod
    def children_many(self, paths: Sequence[str]) -> list[list[str] | None]:
        """`children` of each in one pipeline, in order; None where there is no such node."""

    @abstractmethod
    def commit(self, ops: Batch) -> None:
        """Carry out all of the operations or none.

        Raises: the error of the first operation that failed: NoNode, NodeExists, BadVersion, NotEmpty.
        """

    @abstractmethod
    def commit_many(self, batches: Sequence[Batch]) -> list[Exception | None]:
        """Independent `commit`s in one pipeline: for each, in order, None or the error it would raise."""

    @abstractmethod
    def sync(self) -> None:
        """Pass through the leader: what is read afterwards is no older than the moment of the call."""

    @abstractmethod
    def watch_children(self, path: str, notify: Callable[[], None]) -> None:
        """Call `notify` once, when the list of children next changes, or the session's state does.

        Raises: NoNode.
        """

    @abstractmethod
    def session(self) -> Session:
        """The session that the last answer came through."""

    @abstractmethod
    def listen(self, notify: Callable[[Connection], None]) -> None:
        """Call `notify` at every change of the link's state, from another thread."""

    @abstractmethod
    def close(self, *, keep_session: bool = False) -> None:
        """End the session, and its ephemeral nodes with it, at once.

        With `keep_session` the session is left to its timeout, for a successor to come back to.
        """

    def ensure(self, path: str) -> None:
        """Make the node and those above it where they do not exist."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            try:
                self.commit([Create("/" + "/".join(parts[:depth]))])
            except NodeExists:
                continue


def batches(groups: Iterable[Batch], limit: int = MAX_BATCH_BYTES) -> Iterator[list[Op]]:
    """Join groups of operations into as few batches as their bytes allow; no group is torn apart."""
    batch: list[Op] = []
    size = 0
    for group in groups:
        cost = sum(size_of(op) for op in group)
        if batch and size + cost > limit:
            yield batch
            batch, size = [], 0
        batch.extend(group)
        size += cost
    if batch:
        yield batch


def size_of(op: Op) -> int:
    """About what an operation takes in a request: header, path, data, ACL."""
    return 64 + len(op.path.encode()) + len(getattr(op, "data", b""))
