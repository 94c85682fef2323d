"""Jobs that leave a live node for one with fewer: a few a minute, between two runs, and only in calm times."""

import logging
from collections.abc import Callable, Iterable

from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import Claim, decode
from cronkeeper.manager.balance import spread
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.placement import JobKey
from cronkeeper.manager.publish import NOWHERE, Move, Placed, carry_out

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds from one time to the next; the first one is as long after the beginning of a reign."""
LOOKS = 20
"""How often jobs are chosen in place of those that turn out to be running: by then each of a node has been."""
MOST_GONE_THROUGH = 200_000
"""Jobs that all the looks of one time go through together: with very many in the fleet there are fewer looks."""
MOST_READ = 2000
"""Claims after which there are no more looks: the leader has other things to do."""


class Rebalance:
    """Of one reign."""

    def __init__(self, tree: Tree, reign: Reign, clock: float) -> None:
        self._tree = tree
        self._reign = reign
        self._next = clock + EVERY

    def moves(
        self, board: Board, clock: float, run_lease: float, place_at: Callable[[JobKey, str], Placed]
    ) -> list[Move]:
        """Carry out what is due now, and return that. Raises: Unavailable, Deposed."""
        if clock < self._next or not _is_calm(board, clock, run_lease):
            return []
        self._next = clock + EVERY
        idle = self._idle(board)
        moves = [
            Move(key, board.placed[key], place_at(key, node), version=version)
            for key, (node, version) in idle.items()
        ]
        done = carry_out(self._tree, self._reign, moves)
        if done:
            log.info("%d jobs leave nodes that have many for such as have few", len(done))
        return done

    def _idle(self, board: Board) -> dict[JobKey, tuple[str, int]]:
        """The jobs to move that list no run: where each is to go, and the version of its claim that says so."""
        on = {name: board.on(name) for name in board.live}
        sites = {name: site for name, site in board.sites().items() if not site.paused}
        versions: dict[JobKey, int] = {}
        busy: set[JobKey] = set()
        chosen: dict[JobKey, str] = {}
        for _ in range(max(1, min(LOOKS, MOST_GONE_THROUGH // max(1, len(board.placed))))):
            chosen = spread(on, board.demand, sites, busy)
            unread = [key for key in chosen if key not in versions]
            read = self._read(board, unread)
            versions |= read
            busy.update(key for key in unread if key not in read)
            if len(read) == len(unread) or len(versions) + len(busy) >= MOST_READ:
                break
        return {key: (node, versions[key]) for key, node in chosen.items() if key in versions}

    def _read(self, board: Board, keys: Iterable[JobKey]) -> dict[JobKey, int]:
        """The versions of those claims that list no run, and that their node does not use by itself."""
        placed = {key: board.placed[key] for key in keys}
        nodes = self._tree.get_many([each.claim for each in placed.values()])
        return {
            key: node.version
            for key, node in zip(placed, nodes, strict=True)
            if node is not None and not (claim := decode(node.data, Claim)).unfinished and not claim.alone
        }


def _is_calm(board: Board, clock: float, run_lease: float) -> bool:
    """Whether nothing else has to move, nor a node has died of late. What no node will do for does not count."""
    if any(board.placed[key].node != NOWHERE for key in board.misplaced):
        return False
    return not any(clock - since < run_lease and board.on(node) for node, since in board.absent_since.items())
