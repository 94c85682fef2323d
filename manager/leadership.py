"""Who leads: an ephemeral node elects, the epoch fences, and the lease says when to stop by oneself."""

import itertools
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Check, Create, Node, NodeExists, NoNode, SetData, Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.model import Generation
from cronkeeper.common.store import leader
from cronkeeper.common.store.store import Store
from cronkeeper.manager import lost_tree, put_back

log = logging.getLogger(__name__)


def each_of(*told: Callable[[int | None], None]) -> Callable[[int | None], None]:
    """Tells several parts of every reign."""

    def tell(epoch: int | None) -> None:
        for each in told:
            each(epoch)

    return tell


class Reign:
    """One time of leading: its epoch, the fence for every write, and generations that nobody else gives."""

    def __init__(self, epoch: int, version: int, session: int, mark: int = 0) -> None:
        self.epoch = epoch
        self.session = session
        self.mark = mark
        """The last number that is known to have been the tree's: below it the tree was put back in our midst."""
        self._version = version
        self._counter = itertools.count(1)

    def fence(self) -> Check:
        """The first operation of every batch of this leader."""
        return Check(paths.EPOCH, self._version)

    def begun_by(self, epoch: Node | None) -> bool:
        """Whether the tree's epoch, as it was read, is this reign's."""
        return epoch is not None and epoch.version == self._version

    def generation(self) -> Generation:
        """A new one."""
        return Generation(self.epoch, next(self._counter))


class Leadership:
    """One candidate."""

    def __init__(
        self, tree: Tree, store: Store, lease: Lease, name: str, *, notify: Callable[[], None]
    ) -> None:
        self._tree = tree
        self._store = store
        self._lease = lease
        self._name = name
        self._watch = ChildWatch(tree, paths.LEADERS, notify)
        self.reign: Reign | None = None

    def hold(self, now: datetime) -> Reign | None:
        """The reign, if this one leads: asked of the tree now, and good while the lease lasts.

        Raises: Unavailable.
        """
        self._lease.renew(self._tree)
        session = self._tree.session().id
        if self.reign is not None:
            if self._goes_on(self.reign, session):
                return self.reign
            self.lay_down()
        if not self._win(session):
            return None
        self.reign = self._begin(session, now)
        log.info("%s leads, epoch %d", self._name, self.reign.epoch)
        return self.reign

    def lay_down(self) -> None:
        """The epoch is over; where the lock is ours nevertheless, the next `hold` begins a new one.

        A candidate that was paused after it had won, and has lost its session meanwhile, begins an epoch in the
        midst of another's reign when it wakes, and does not lead. Whoever does must not stay deposed then.
        """
        if self.reign is not None:
            log.warning("epoch %d is over: its session has ended, or a later one has begun", self.reign.epoch)
            self.reign = None

    def _goes_on(self, reign: Reign, session: int) -> bool:
        holder, epoch, mark = self._tree.get_many([paths.LEADER, paths.EPOCH, paths.MARK])
        if holder is None or holder.owner != session or session != reign.session:
            return False
        return reign.begun_by(epoch) and mark is not None and put_back.number(mark) >= reign.mark

    def _holder(self) -> int | None:
        try:
            return self._tree.get(paths.LEADER).owner
        except NoNode:
            return None

    def _win(self, session: int) -> bool:
        try:
            self._watch.arm()
        except NoNode:  # the fleet is new
            for folder in paths.skeleton():
                self._tree.ensure(folder)
            self._watch.arm()
        holder = self._holder()
        if holder is not None:
            return holder == session
        try:
            self._tree.commit([Create(paths.LEADER, self._name.encode(), ephemeral=True)])
        except NodeExists:
            return False
        return True

    def _begin(self, session: int, now: datetime) -> Reign:
        """A new epoch, above any that SQL or the tree has seen; SQL agrees first.

        The mark is the time at least: where SQL was put back too, it is above what the nodes have seen.
        """
        for path in (paths.EPOCH, paths.MARK, paths.NOTED):
            self._tree.ensure(path)
        put_back.set_right(self._tree, self._store, self._name, now)
        known, mark = self._tree.get(paths.EPOCH), self._tree.get(paths.MARK)
        in_tree, marked = put_back.number(known), put_back.number(mark)

        def take(connection: Connection) -> tuple[int, int]:
            in_sql = leader.read(connection)
            epoch = max(in_sql, in_tree) + 1
            leader.take(connection, in_sql, epoch, self._name)
            return epoch, leader.mark(connection)

        epoch, expected = self._store.transaction(take)
        if (
            marked < expected
        ):  # before the mark: until that is above all that a worker has seen, it claims nothing
            lost_tree.clear_out(self._tree, Check(paths.EPOCH, known.version))
            self._store.transaction(partial(lost_tree.forget_claims, epoch=epoch))
        number = max(marked, expected, int(now.timestamp())) + 1
        begin = SetData(paths.EPOCH, str(epoch).encode(), known.version)
        self._tree.commit([begin, SetData(paths.MARK, str(number).encode(), mark.version)])
        reign = Reign(epoch, known.version + 1, session, number)
        self._note(reign, now, expected)
        return reign

    def _note(self, reign: Reign, now: datetime, expected: int) -> None:
        """Let SQL know the mark, and then the tree that it does."""
        told = partial(leader.note_mark, epoch=reign.epoch, number=reign.mark, now=now, noted=expected)
        self._store.transaction(told)
        put_back.note(self._tree, reign.fence(), reign.mark)
