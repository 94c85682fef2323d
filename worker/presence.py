"""This worker's sign of life: `/live/<node>`, which goes when its session does."""

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import (
    BadVersion,
    Create,
    Node,
    NodeExists,
    NoNode,
    Session,
    SetData,
    Tree,
)
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
        self.live = live
        """What is said; another one is said at the next `announce`."""
        self._said: LiveNode | None = None
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
            if self._said != self.live:
                self._say(self._own())
            return False
        path = paths.live(self.live.name)
        if not self._has_folders:
            for folder in paths.node_skeleton(self.live.name):
                self._tree.ensure(folder)
            self._has_folders = True
        try:
            self._tree.commit([Create(path, encode(self.live), ephemeral=True)])
        except NodeExists:
            self._take_over(path, session, now)
        self._session, self._said = session.id, self.live
        return True

    def check(self) -> None:
        """See that the sign of life is still this worker's, and not that of one that came to the same session.

        Raises: SecondWorker; Unavailable, also where it has to be announced again.
        """
        node = self._own()
        if decode(node.data, LiveNode).incarnation != self.live.incarnation:
            raise self._second(node)

    def forget(self) -> None:
        """Announce again at the next call, whatever the session, and make the node's folders."""
        self._session = None
        self._has_folders = False

    def _own(self) -> Node:
        """The sign of life as it stands there, made by our session."""
        try:
            node = self._tree.get(paths.live(self.live.name))
        except NoNode as error:
            self._session = None
            raise Unavailable("the sign of life is gone, and has to be given again") from error
        if node.owner != self._session:
            self._session = None
            raise Unavailable("the sign of life is another session's")
        return node

    def _say(self, known: Node) -> None:
        try:
            self._tree.commit([SetData(paths.live(self.live.name), encode(self.live), known.version)])
        except (NoNode, BadVersion) as error:
            raise Unavailable("the sign of life of an earlier worker is just going") from error
        self._said = self.live

    def _take_over(self, path: str, session: Session, now: float) -> None:
        try:
            node = self._tree.get(path)
        except NoNode as error:
            raise Unavailable("the sign of life of an earlier worker is just going") from error
        if node.owner == session.id:
            self._say(node)
            return
        if self._seen is None or self._seen[0] != node.owner:
            self._seen = (node.owner, now)
        if now - self._seen[1] > 2 * session.timeout:
            raise self._second(node)
        raise Unavailable(f"an earlier worker's session of node {self.live.name!r} has not timed out yet")

    def _second(self, node: Node) -> SecondWorker:
        other = decode(node.data, LiveNode)
        host = other.hostname if other.hostname else "another host"
        return SecondWorker(
            f"another worker is live as node {other.name!r}, on {host} (incarnation {other.incarnation}). If this "
            "machine is a copy of that one: give this node a name of its own (worker.node), let it in with "
            "`cronkeeper node add NAME --key-file FILE` and use that key, and remove what lies in worker.home, "
            "which is the other's. Else stop one of the two"
        )
