"""This worker's sign of life: `/live/<node>`, which goes when its session does."""

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, Create, NodeExists, NoNode, Session, SetData, Tree
from cronkeeper.common.errors import Conflict, Unavailable
from cronkeeper.common.model import LiveNode, decode, encode


class SecondWorker(Conflict):
    """A live worker has this node's name already."""


class Presence:
    """Keeps `/live/<node>` made by the session that is in use.

    A daemon that was killed may have left one that lives on until its session times out: that is waited
    for. One that outlives it belongs to a second worker of the same name.
    """

    def __init__(self, tree: Tree, live: LiveNode) -> None:
        self._tree = tree
        self._live = live
        self._session: int | None = None
        self._has_folders = False
        self._seen: tuple[int, float] | None = None

    def announce(self, now: float) -> bool:
        """Make sure that the node is live by the session in use; True where that was news.

        Args:
            now: seconds of a clock that only grows.

        Raises:
            SecondWorker: another worker keeps the name.
            Unavailable: no answer, or what an earlier daemon left behind must time out first.
        """
        session = self._tree.session()
        if session.id == self._session:
            return False
        path = paths.live(self._live.name)
        if not self._has_folders:
            for folder in paths.node_skeleton(self._live.name):
                self._tree.ensure(folder)
            self._has_folders = True
        try:
            self._tree.commit([Create(path, encode(self._live), ephemeral=True)])
        except NodeExists:
            self._take_over(path, session, now)
        self._session = session.id
        return True

    def forget(self) -> None:
        """Announce again at the next call, whatever the session, and make the node's folders."""
        self._session = None
        self._has_folders = False

    def _take_over(self, path: str, session: Session, now: float) -> None:
        try:
            node = self._tree.get(path)
            if node.owner == session.id:
                self._tree.commit([SetData(path, encode(self._live), node.version)])
                return
        except (NoNode, BadVersion) as error:
            raise Unavailable("the sign of life of an earlier worker is just going") from error
        if self._seen is None or self._seen[0] != node.owner:
            self._seen = (node.owner, now)
        if now - self._seen[1] > 2 * session.timeout:
            other = decode(node.data, LiveNode)
            raise SecondWorker(
                f"another worker is live as node {other.name!r} (incarnation {other.incarnation}): stop it, "
                "or give this one a name of its own (worker.node) and a key made by `cronkeeper node add`"
            )
        raise Unavailable(f"an earlier worker's session of node {self._live.name!r} has not timed out yet")
