"""What a manager tells Prometheus; the figures themselves are defined in common/metrics.py."""

from collections.abc import Callable, Iterable

from cronkeeper.common import metrics
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.publish import NOWHERE, Move


def watch(lease: Lease, reign: Callable[[], Reign | None], board: Callable[[], Board | None]) -> None:
    """Let what changes all the time be read when somebody asks, on another thread: so a leader that hangs shows."""

    def ruling() -> Reign | None:
        return reign() if lease.may_act(lease.now()) else None

    def of_board(count: Callable[[Board], int]) -> Callable[[], float]:
        def read() -> float:
            seen = board()
            return 0 if seen is None or ruling() is None else count(seen)

        return read

    def epoch() -> float:
        current = ruling()
        return 0 if current is None else current.epoch

    metrics.LEADS.set_function(lambda: ruling() is not None)
    metrics.EPOCH.set_function(epoch)
    metrics.JOBS_PLACED.set_function(of_board(lambda seen: len(seen.placed) - len(seen.on(NOWHERE))))
    metrics.NODES.labels("live").set_function(of_board(lambda seen: len(seen.live)))
    metrics.NODES_PAUSED.set_function(of_board(lambda seen: sum(map(seen.is_paused, seen.known))))
    metrics.NODES.labels("absent").set_function(of_board(lambda seen: len(seen.absent_since)))


def moved(done: Iterable[Move], board: Board) -> None:
    """The moves have been carried out; the board is as it was when they were decided on."""
    for move in done:
        metrics.MOVES.labels(_cause(move, board)).inc()


def _cause(move: Move, board: Board) -> str:
    if move.target is None:
        return "withdraw"
    if move.target.node == NOWHERE:
        return "park"
    if move.source is None or move.source.node == NOWHERE:
        return "publish"
    if move.source.node == move.target.node:
        return "edit"
    return "move" if move.source.node in board.live else "failover"
