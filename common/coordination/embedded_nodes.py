"""The nodes of the embedded tree: ZooKeeper's rules, without sessions, watches, locks or disk."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from cronkeeper.common.errors import CronkeeperError, Invalid

from .tree import BadVersion, Batch, Check, Create, Delete, Node, NodeExists, NoNode, NotEmpty, Op, SetData

K = TypeVar("K")

Changes = dict[str, Node | None]
"""What stands at each path, None where nothing does."""


class Nodes:
    """All nodes by their paths. The root always exists. Not thread-safe."""

    def __init__(self, nodes: dict[str, Node] | None = None, wall: Callable[[], float] = time.time) -> None:
        """`wall` is the clock that says when something is written, in seconds since 1970."""
        self._wall = wall
        self._nodes: dict[str, Node] = {}
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._owned: defaultdict[int, set[str]] = defaultdict(set)
        self._put("/", Node(b"", 0, 0))
        self.restore(dict(nodes or {}))

    def find(self, path: str) -> Node | None:
        """The node, None where there is none."""
        return self._nodes.get(path)

    def get(self, path: str) -> Node:
        """Raises: NoNode."""
        node = self._nodes.get(path)
        if node is None:
            raise NoNode(f"there is no node {path}")
        return node

    def children(self, path: str) -> list[str]:
        """The names below, sorted. Raises: NoNode."""
        self.get(path)
        return sorted(self._children.get(path, ()))

    def owned(self, session_id: int) -> list[str]:
        """The paths of a session's ephemeral nodes, sorted."""
        return sorted(self._owned.get(session_id, ()))

    def persistent(self) -> Iterable[tuple[str, Node]]:
        """Every node that must outlive the process."""
        return ((path, node) for path, node in self._nodes.items() if not node.owner)

    def apply(self, ops: Batch, session_id: int) -> Changes:
        """Carry out all of the operations for a session or none, and return what stood there before.

        Raises: the error of the first operation that failed; Invalid for a child of an ephemeral node.
        """
        before: Changes = {}
        try:
            for op in ops:
                before.setdefault(op.path, self._nodes.get(op.path))
                self._carry_out(op, session_id)
        except CronkeeperError:
            self.restore(before)
            raise
        return before

    def restore(self, before: Changes) -> None:
        """Put back what stood at each path."""
        for path, node in before.items():
            self._put(path, node)

    def durable_changes(self, before: Changes) -> Changes:
        """Of the paths in `before`, those where what must outlive the process is now another."""
        changes: Changes = {}
        for path, old in before.items():
            new = _durable(self._nodes.get(path))
            if new != _durable(old):
                changes[path] = new
        return changes

    def _carry_out(self, op: Op, session_id: int) -> None:
        match op:
            case Create():
                self._check_free(op.path)
                self._put(op.path, Node(op.data, 0, session_id if op.ephemeral else 0, self._wall()))
            case SetData():
                node = self._at_version(op.path, op.version)
                self._put(op.path, Node(op.data, node.version + 1, node.owner, self._wall()))
            case Delete():
                self._at_version(op.path, op.version)
                if self._children.get(op.path):
                    raise NotEmpty(f"there are nodes below {op.path}")
                self._put(op.path, None)
            case Check():
                self._at_version(op.path, op.version)

    def _check_free(self, path: str) -> None:
        """Refuse a new node, in ZooKeeper's order of reasons."""
        if path in self._nodes:
            raise NodeExists(f"there is a node {path} already")
        if self.get(parent(path)).owner:
            raise Invalid(f"{path} can't be made: its parent is ephemeral, and such a node has no children")

    def _at_version(self, path: str, version: int) -> Node:
        node = self.get(path)
        if node.version != version:
            raise BadVersion(f"{path} is at version {node.version}, not {version}")
        return node

    def _put(self, path: str, node: Node | None) -> None:
        """Let `node` stand at the path, and keep the two indexes true."""
        old = self._nodes.pop(path, None)
        if old is not None and old.owner:
            _discard(self._owned, old.owner, path)
        if node is None:
            _discard(self._children, parent(path), name(path))
            return
        self._nodes[path] = node
        if node.owner:
            self._owned[node.owner].add(path)
        if path != "/":
            self._children[parent(path)].add(name(path))


def parent(path: str) -> str:
    """The path of the node above; the root's is the root."""
    return path.rpartition("/")[0] or "/"


def name(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def _durable(node: Node | None) -> Node | None:
    return None if node is None or node.owner else node


def _discard(index: defaultdict[K, set[str]], key: K, value: str) -> None:
    """Take a value out of an index, and the key with its last value: most nodes have no children."""
    index[key].discard(value)
    if not index[key]:
        del index[key]
