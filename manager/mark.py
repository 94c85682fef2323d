"""A number in the tree that grows while somebody leads, and that SQL knows: it tells an old copy of the tree."""

from functools import partial

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData, Tree
from cronkeeper.common.store import leader
from cronkeeper.common.store.store import Store
from cronkeeper.manager.leadership import Reign

EVERY = 30.0
"""Seconds: a copy that is older is told to be one."""


class Mark:
    """Of one reign, which began with a number of its own."""

    def __init__(self, tree: Tree, store: Store, reign: Reign, clock: float) -> None:
        self._tree = tree
        self._store = store
        self._reign = reign
        self._next = clock + EVERY

    def keep(self, clock: float) -> None:
        """Raises: Unavailable; Conflict, where another one leads."""
        if clock < self._next:
            return
        known = self._tree.get(paths.MARK)
        number = int(known.data) + 1
        self._tree.commit([self._reign.fence(), SetData(paths.MARK, str(number).encode(), known.version)])
        self._reign.mark = number
        self._store.transaction(partial(leader.note_mark, epoch=self._reign.epoch, number=number))
        self._next = clock + EVERY
