"""Nodes that were taken out of the fleet: what they had is parked, and then nothing of them stays.

SQL alone says who is in the fleet. So whatever breaks off here is found again by the next look, as long as the
node's folder is in the tree; that goes last.
"""

import logging
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, Delete, Op, Tree
from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.store import jobs, leader, nodes
from cronkeeper.common.store.store import Store
from cronkeeper.manager import dispatch, settle
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.publish import Move, Placed, carry_out

log = logging.getLogger(__name__)


def known_for_certain(store: Store, reign: Reign, board: Board, roll: nodes.Roll) -> nodes.Roll:
    """Who is in the fleet; where that takes a node out or changes what it may do, by the SQL that this reign is of.

    So nothing is taken off a node, paused or resumed on the word of a copy that lags behind, or was put back to an
    earlier day.

    Raises: Unavailable; Conflict, where it is another's.
    """
    if (
        board.known.issubset(roll.known)
        and roll.drained.issubset(board.drained)
        and roll.pauses == board.pauses
    ):
        return roll

    def work(connection: Connection) -> nodes.Roll:
        leader.fence(connection, reign.epoch)
        return nodes.roll(connection)

    return store.transaction(work)


def park(tree: Tree, store: Store, reign: Reign, board: Board, node: str, now: datetime) -> list[Move]:
    """Take all claims off the node, from where they go to nodes that will do. Raises: Unavailable, Deposed.

    The job's last spec stays behind: what an edit of meanwhile took from it is noted in the claim now. What SQL
    does not know is left alone, and copies on a node that was forgotten end, see `copies`.
    """
    there = board.on(node)
    if not there:
        return []
    rows = store.transaction(lambda connection: jobs.by_ids(connection, {job_id for job_id, _ in there}))
    found = {job.id: job for job in rows}
    # Of a drained one, what may be going on there by itself waits for it.
    unheard = now if node not in board.known else None
    moves = [
        Move(key, placed, Placed.parked(*key), job if job.ended_at is None else None, unheard=unheard)
        for key, placed in sorted(there.items())
        if (job := found.get(key[0])) is not None and not board.everywhere.is_orphan(key)
    ]
    done = carry_out(tree, reign, moves, dead=node)
    if done:
        why = "drained and gone" if node in board.drained else "forgotten"
        log.warning("node %s is %s: %d jobs are taken off it", node, why, len(done), extra={"node": node})
    return done


def clear(tree: Tree, store: Store, reign: Reign, board: Board, node: str, when: settle.When) -> bool:
    """Queue again what lies in its inbox, give up the runs of removed jobs, and remove its folder.

    Returns whether runs were queued again. Raises: Unavailable, Conflict.
    """
    queued = dispatch.call_back(tree, store, reign, board, [node])
    settle.settle_removed(store, reign, board, node, when)
    if not board.on(node) and _remove_folder(tree, reign, node):
        board.drop(node)
        log.info("node %s was forgotten: nothing of it is left", node, extra={"node": node})
    return queued


def _remove_folder(tree: Tree, reign: Reign, node: str) -> bool:
    """False where something lies in it still, such as the claim of a job that SQL does not know, or it is back."""
    (names,) = tree.children_many([paths.node(node)])
    below = [f"{paths.node(node)}/{name}" for name in ([] if names is None else names)]
    if any(tree.children_many(below)):
        return False
    all_of_it = [*below, *([] if names is None else [paths.node(node)])]
    deletes = [
        Delete(path, found.version)
        for path, found in zip(all_of_it, tree.get_many(all_of_it), strict=True)
        if found is not None
    ]
    is_gone: list[Op] = [Create(paths.live(node), b"", ephemeral=True), Delete(paths.live(node), 0)]
    try:
        tree.commit([reign.fence(), *is_gone, *deletes])
    except (Conflict, NotFound):
        return False
    return True
