"""Jobs that are where they may not be: they leave a live node between two runs, and wait where no node will do."""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import Claim, Concurrency, Job, Run, RunState, Unfinished, decode
from cronkeeper.common.store import jobs, leader, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager import news
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.placement import JobKey, place
from cronkeeper.manager.publish import NOWHERE, Move, Placed, carry_out

log = logging.getLogger(__name__)

LOOKS = 1000
"""How many of these jobs are looked at in one round."""
PlaceAt = Callable[[JobKey, str], Placed]


@dataclass(frozen=True, slots=True)
class Looked:
    """A job that is misplaced: its claim, as it was at `version`, and what SQL says of it."""

    placed: Placed
    claim: Claim
    version: int
    job: Job

    @property
    def key(self) -> JobKey:
        """Which job it is."""
        return self.placed.name.job_id, self.placed.name.copy


def relocate(tree: Tree, store: Store, reign: Reign, board: Board, place_at: PlaceAt) -> list[Move]:
    """Move what is misplaced and free to go, and let the others start nothing until they are. Returns the moves.

    A job whose runs may go on side by side goes at once, as soon as its runs have begun; any other once its claim
    lists no run. Where no node will do, it is parked.

    Raises: Unavailable, Conflict.
    """
    if not board.misplaced:
        return []
    looked, known = _look(tree, store, board)
    held_up = [(each, _held_up(each, known, board.known)) for each in looked]
    staying = [(each, why) for each, why in held_up if why is not None]
    # Those that stay take no room from the others: it may be long until they go.
    going = _going(board, [each for each, why in held_up if why is None], place_at)
    done = carry_out(tree, reign, going)
    for move in done:
        assert move.source is not None
        assert move.target is not None
        log.info("job %d leaves %s for %s", move.key[0], _named(move.source), _named(move.target))
    return done + _let_rest(tree, store, reign, board, staying, place_at)


def _going(board: Board, free: Sequence[Looked], place_at: PlaceAt) -> list[Move]:
    """The moves of those that are free to go; a parked one stays where no node will do."""
    targets = place([each.key for each in free], board.demand, board.sites())
    moves = []
    for each in free:
        target = place_at(each.key, targets[each.key]) if each.key in targets else Placed.parked(*each.key)
        if target.node != each.placed.node:
            moves.append(Move(each.key, each.placed, target, each.job, each.version))
    return moves


def nodes_left(moves: Iterable[Move]) -> list[str]:
    """The nodes that a job has left."""
    left = {
        move.source.node
        for move in moves
        if move.source is not None and (move.target is None or move.target.node != move.source.node)
    }
    return sorted(left - {NOWHERE})


def _named(placed: Placed) -> str:
    return f"node {placed.node}" if placed.node != NOWHERE else "no node"


def _look(tree: Tree, store: Store, board: Board) -> tuple[list[Looked], Mapping[str, Run]]:
    """The next of the misplaced jobs for which something could be done, and what SQL knows of their runs."""
    parked = board.on(NOWHERE)
    able = place(parked, board.demand, board.sites())
    keys = list(islice((key for key in board.misplaced if key not in parked or key in able), LOOKS))
    for key in keys:  # the others come first the next time
        board.misplaced[key] = board.misplaced.pop(key)
    if not keys:
        return [], {}
    placed = [board.placed[key] for key in keys]
    nodes = tree.get_many([each.claim for each in placed])
    claims = {
        (each.name.job_id, each.name.copy): (each, decode(node.data, Claim), node.version)
        for each, node in zip(placed, nodes, strict=True)
        if node is not None
    }
    run_ids = [run.run_id for _, claim, _ in claims.values() for run in claim.unfinished]

    def work(connection: Connection) -> tuple[list[Job], dict[str, Run]]:
        return jobs.by_ids(connection, {job_id for job_id, _ in claims}), runs.by_ids(connection, run_ids)

    found, known = store.transaction(work)
    for job in found:
        board.know(job)
    open_ = {job.id: job for job in found if job.ended_at is None}
    there = [key for key in sorted(claims) if key[0] in open_ and key in board.misplaced]
    return [Looked(*claims[key], open_[key[0]]) for key in there], known


def _held_up(each: Looked, known: Mapping[str, Run], nodes: Container[str]) -> str | None:
    """What the job must wait for before it leaves; `nodes`: those whose reports are heard."""
    if each.placed.node == NOWHERE:
        return None
    run = _waited_for(each, known, nodes)
    if run is not None:
        return f"run {run.run_id} has ended"
    return f"node {each.placed.node} has stopped starting it by itself" if each.claim.alone else None


def _waited_for(each: Looked, known: Mapping[str, Run], nodes: Container[str]) -> Unfinished | None:
    # The end of a run on another node than these is for the job's next node to report.
    # An attempt that waits goes along: no node has it yet.
    waited_for = [
        run for run in each.claim.unfinished if run.goes_on or (run.outcome is not None and run.node in nodes)
    ]
    if each.job.concurrency is not Concurrency.ALLOW:
        return next(iter(waited_for), None)
    # One that has not begun would be given up by its node as soon as the job has left.
    begun = {run.id for run in known.values() if run.state is RunState.RUNNING or run.state.final}
    return next((run for run in waited_for if run.run_id not in begun), None)


def _let_rest(
    tree: Tree,
    store: Store,
    reign: Reign,
    board: Board,
    staying: Sequence[tuple[Looked, str]],
    place_at: PlaceAt,
) -> list[Move]:
    """Publish the jobs as not enabled where they are, if that has not been done."""
    new = [each for each, _ in staying if each.key not in board.resting]
    board.resting.update((each.key, why) for each, why in staying if each.key in board.resting)
    if not new:
        return []

    def work(connection: Connection) -> None:
        leader.fence(connection, reign.epoch)
        jobs.publish(connection, [news.unpublished(each.key, each.placed) for each in new])

    # First: should this leader end in between, the next one must not take them for published as they are.
    store.transaction(work)
    moves = [_rest(each, place_at(each.key, each.placed.node)) for each in new]
    done = carry_out(tree, reign, moves)
    # Only now: a round that is broken off before must not leave behind that they rest.
    rests = {move.key for move in done}
    board.resting.update((each.key, why) for each, why in staying if each.key in rests)
    return done


def _rest(each: Looked, here: Placed) -> Move:
    return Move(each.key, each.placed, here, each.job, each.version, resting=True)
