"""A number in the tree that grows while somebody leads, and that SQL knows: it tells an old copy of either.

The tree is told what SQL knows, too: a mark is in the tree first, then in SQL, and then SQL is known to have it.
"""

from datetime import datetime
from functools import partial

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData, Tree
from cronkeeper.common.store import leader
from cronkeeper.common.store.store import Store
from cronkeeper.manager import put_back
from cronkeeper.manager.leadership import Reign

EVERY = 30.0
"""Seconds: a copy that is older is told to be one."""


class Mark:
    """Of one reign, which began with a number of its own."""

    def __init__(self, tree: Tree, store: Store, reign: Reign, clock: float) -> None:
        self._tree = tree
        self._store = store
        self._reign = reign
        self._noted = reign.mark
        """The last one that SQL was told of."""
        self._next = clock + EVERY

    def see(self, in_sql: int) -> None:
        """Raises: PutBack, where SQL has a mark that is below what it was told."""
        leader.see(in_sql, self._noted)

    def keep(self, now: datetime, clock: float) -> None:
        """Raises: Unavailable; Conflict, where another one leads, or SQL was put back."""
        if clock < self._next:
            return
        known = self._tree.get(paths.MARK)
        number = int(known.data) + 1
        self._tree.commit([self._reign.fence(), SetData(paths.MARK, str(number).encode(), known.version)])
        self._reign.mark = number
        epoch, noted = self._reign.epoch, self._noted
        self._store.transaction(partial(leader.note_mark, epoch=epoch, number=number, now=now, noted=noted))
        self._noted = number
        put_back.note(self._tree, self._reign.fence(), number)
        self._next = clock + EVERY
