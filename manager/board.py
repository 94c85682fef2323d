"""The leader's picture of the fleet: who is live, and where every claim lies. Only the leader moves claims."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import ClaimName, Job, LiveNode, decode
from cronkeeper.manager.placement import JobKey
from cronkeeper.manager.publish import Move, Placed


@dataclass(slots=True)
class Board:
    """Read whole when a reign begins and after a failure, then kept up to date by the leader's own moves."""

    live: dict[str, LiveNode] = field(default_factory=dict)
    placed: dict[JobKey, Placed] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)
    """Every node that has ever been live."""
    seen: set[str] = field(default_factory=set)
    """Nodes that have been live since the reign began."""
    absent_since: dict[str, float] = field(default_factory=dict)
    """Nodes that are not live: when that was first seen, on the lease's clock."""
    bound: dict[int, str] = field(default_factory=dict)
    """The jobs that may be on one node only."""
    abroad: dict[JobKey, None] = field(default_factory=dict)
    """Jobs whose claim may list an unfinished run of another node than its own, in the order to look at them."""
    _on: defaultdict[str, dict[JobKey, Placed]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def read(cls, tree: Tree, before: "Board | None") -> "Board":
        """The picture as the tree shows it, with the memory of the picture before. Raises: Unavailable."""
        board = cls()
        if before is not None:
            board.live, board.seen, board.absent_since = before.live, before.seen, before.absent_since
            board.abroad.update(before.abroad)
        tree.sync()
        nodes = tree.children(paths.NODES)
        board.nodes.update(nodes)
        for node, names in zip(nodes, tree.children_many([paths.claims(n) for n in nodes]), strict=True):
            for text in names if names is not None else []:
                board._put(Placed(node, ClaimName.parse(text)))
        for key, placed in board.placed.items():
            if before is None or before.placed.get(key) != placed:
                board.abroad[key] = None
        return board

    def see_live(self, tree: Tree, clock: float) -> bool:
        """Read who is live; True where that is news. Raises: Unavailable."""
        names = tree.children(paths.LIVE)
        nodes = tree.get_many([paths.live(name) for name in names])
        live = {
            name: decode(node.data, LiveNode)
            for name, node in zip(names, nodes, strict=True)
            if node and node.data
        }
        news = live != self.live
        self.live = live
        self.seen |= live.keys()
        self.nodes |= live.keys()
        self.absent_since = {node: self.absent_since.get(node, clock) for node in self.nodes - live.keys()}
        return news

    def know(self, job: Job) -> None:
        """Take note of what is asked for."""
        if job.node is not None and job.ended_at is None:
            self.bound[job.id] = job.node
        else:
            self.bound.pop(job.id, None)

    def load(self) -> dict[str, int]:
        """How many jobs each live node has."""
        return {node: len(self._on.get(node, ())) for node in self.live}

    def on(self, node: str) -> dict[JobKey, Placed]:
        """What lies on a node."""
        return dict(self._on.get(node, {}))

    def note(self, moves: Iterable[Move]) -> None:
        """The moves have been carried out."""
        for move in moves:
            before = self.placed.pop(move.key, None)
            if before is not None:
                del self._on[before.node][move.key]
            if move.target is None:
                self.abroad.pop(move.key, None)
                continue
            self._put(move.target)
            if move.source is not None and move.source.node != move.target.node:
                self.abroad[move.key] = None

    def _put(self, placed: Placed) -> None:
        key = (placed.name.job_id, placed.name.copy)
        self.placed[key] = placed
        self._on[placed.node][key] = placed
