"""What is asked of the node by hand: the entries of its inbox, which lie there until they are claimed."""

from collections.abc import Callable

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.model import HandRun, decode


class Inbox:
    """That of one node."""

    def __init__(self, tree: Tree, node: str, notify: Callable[[], None]) -> None:
        self._tree = tree
        self._node = node
        self._watch = ChildWatch(tree, paths.inbox(node), notify)

    @property
    def fired(self) -> bool:
        """Whether it may have changed since it was read."""
        return self._watch.fired

    def read(self) -> list[HandRun]:
        """All of it. Raises: Unavailable, NoNode."""
        self._watch.arm()
        names = self._tree.children(paths.inbox(self._node))
        entries = self._tree.get_many([paths.inbox_entry(self._node, name) for name in names])
        return [decode(entry.data, HandRun) for entry in entries if entry is not None]
