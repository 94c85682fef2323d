"""The leader's picture of the fleet: who is live, and where every claim lies. Only the leader moves claims."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import Claim, ClaimName, LiveNode, decode
from cronkeeper.manager.publish import Move, Placed

JobKey = tuple[int, int]


@dataclass(slots=True)
class Board:
    """Read whole when a reign begins, then kept up to date by the leader's own moves."""

    live: dict[str, LiveNode] = field(default_factory=dict)
    placed: dict[JobKey, Placed] = field(default_factory=dict)
    absent_since: dict[str, float] = field(default_factory=dict)
    """Nodes that hold claims and are not live: when that was first seen, on the lease's clock."""
    abroad: set[JobKey] = field(default_factory=set)
    """Jobs whose claim may list an unfinished run on another node than its own."""
    seen: set[str] = field(default_factory=set)
    """Nodes that have been live since the reign began."""

    @classmethod
    def read(cls, tree: Tree, before: "Board | None") -> "Board":
        """The picture as the tree shows it, with the memory of the picture before. Raises: Unavailable."""
        board = cls()
        if before is not None:
            board.absent_since, board.seen = before.absent_since, before.seen
        tree.sync()
        nodes = tree.children(paths.NODES)
        for node, names in zip(nodes, tree.children_many([paths.claims(n) for n in nodes]), strict=True):
            for text in names if names is not None else []:
                name = ClaimName.parse(text)
                board.placed[name.job_id, name.copy] = Placed(node, name)
        board._find_abroad(tree)
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
        holders = {placed.node for placed in self.placed.values()}
        gone = (holders | self.absent_since.keys()) - live.keys()
        self.absent_since = {node: self.absent_since.get(node, clock) for node in gone}
        return news

    def nodes_of(self) -> Mapping[JobKey, str]:
        """Which node each job is on."""
        return {key: placed.node for key, placed in self.placed.items()}

    def on(self, node: str) -> list[Placed]:
        """What lies on a node."""
        return [placed for placed in self.placed.values() if placed.node == node]

    def note(self, moves: Iterable[Move]) -> None:
        """The moves have been carried out."""
        for move in moves:
            if move.target is None:
                self.placed.pop(move.key, None)
                self.abroad.discard(move.key)
                continue
            self.placed[move.key] = move.target
            if move.source is not None and move.source.node != move.target.node:
                self.abroad.add(move.key)

    def _find_abroad(self, tree: Tree) -> None:
        everything = list(self.placed.values())
        claims = tree.get_many([paths.claim(placed.node, placed.name) for placed in everything])
        for placed, node in zip(everything, claims, strict=True):
            if node is not None and foreign(decode(node.data, Claim), placed.node):
                self.abroad.add((placed.name.job_id, placed.name.copy))


def foreign(claim: Claim, node: str) -> bool:
    """Whether the claim lists a run that is on another node."""
    return any(run.node != node for run in claim.unfinished)
