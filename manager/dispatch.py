"""Runs by hand on their way to the node that has the job: into its inbox, once."""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, Create, Delete, NodeExists, Tree
from cronkeeper.common.errors import NotFound, Unavailable
from cronkeeper.common.log import request
from cronkeeper.common.model import ONLY, Claim, HandRun, Report, Run, RunState, decode, encode
from cronkeeper.common.store import copies, jobs, leader, runs
from cronkeeper.common.store.leader import Deposed
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.publish import Placed

log = logging.getLogger(__name__)


def dispatch(tree: Tree, store: Store, reign: Reign, board: Board, run: Run, now: datetime) -> bool:
    """Send one queued run to its job's node; False where it must wait for one.

    A run that is already in the inbox or in the claim is not sent again. SQL is asked last: a run leaves the
    claim only after SQL knows its end, so what neither lists and SQL calls queued was never claimed.

    Raises: Unavailable, Conflict.
    """
    placed = board.placed.get((run.job_id, run.copy))
    if placed is None:
        return _cancel_if_ended(store, reign, run, now)
    if placed.node not in board.live or (run.job_id, run.copy) in board.misplaced:
        return False
    there = _where(tree, placed, run.id)

    def work(connection: Connection) -> bool:
        leader.fence(connection, reign.epoch)
        node = placed.node if there is None else there
        return runs.dispatched(connection, run.id, node, str(placed.name.gen))

    if store.transaction(work) and there is None:
        _hand_over(tree, reign, placed.node, run)
    return True


def _hand_over(tree: Tree, reign: Reign, node: str, run: Run) -> None:
    entry = HandRun(run_id=run.id, job_id=run.job_id, copy=run.copy, request_id=request.get())
    try:
        tree.commit([reign.fence(), Create(paths.inbox_entry(node, run.id), encode(entry))])
    except NodeExists:
        return
    except BadVersion as error:
        raise Deposed("the epoch in the tree is another leader's") from error
    more = {"job": run.job_id, "run": run.id, "node": node}
    log.info("run %s is in the inbox of node %s", run.id, node, extra=more)


def call_back(tree: Tree, store: Store, reign: Reign, board: Board, nodes: Sequence[str]) -> bool:
    """Take out of these inboxes the runs of jobs that lie elsewhere now: they are queued again.

    A run that stayed there would be started a second time, should its job ever come back to that node.
    Returns whether there were any. Raises: Unavailable, Conflict.
    """
    inboxes = tree.children_many([paths.inbox(node) for node in nodes])
    strays = [
        (node, run_id)
        for node, run_ids in zip(nodes, inboxes, strict=True)
        for run_id in (run_ids if run_ids is not None else [])
        if not _is_on(board, run_id, node)
    ]
    if not strays:
        return False
    results = tree.commit_many(
        [[reign.fence(), Delete(paths.inbox_entry(node, run_id), 0)] for node, run_id in strays]
    )
    for error in results:
        if isinstance(error, Unavailable):
            raise error
    taken = [run_id for (_, run_id), error in zip(strays, results, strict=True) if error is None]

    def work(connection: Connection) -> None:
        leader.fence(connection, reign.epoch)
        runs.undispatch(connection, taken)

    store.transaction(work)
    return True


def requeue_stranded(store: Store, reign: Reign) -> None:
    """Look again at every run that was sent and not claimed: it may never have reached its inbox."""

    def work(connection: Connection) -> None:
        leader.fence(connection, reign.epoch)
        runs.undispatch_all(connection)

    store.transaction(work)


def _is_on(board: Board, run_id: str, node: str) -> bool:
    job_id, copy, _ = run_id.split(".", 2)
    placed = board.placed.get((int(job_id), int(copy)))
    return placed is not None and placed.node == node


def _where(tree: Tree, placed: Placed, run_id: str) -> str | None:
    """The node that the run has been sent to already, which may have had the job before."""
    entry, claim = tree.get_many(
        [paths.inbox_entry(placed.node, run_id), paths.claim(placed.node, placed.name)]
    )
    if entry is not None:
        return placed.node
    unfinished = decode(claim.data, Claim).unfinished if claim is not None else ()
    return next((run.node for run in unfinished if run.run_id == run_id), None)


def _cancel_if_ended(store: Store, reign: Reign, run: Run, now: datetime) -> bool:
    report = Report(
        run_id=run.id,
        job_id=run.job_id,
        copy=run.copy,
        tick=None,
        attempt=run.attempt,
        gen="",
        node="",
        started_by=run.started_by,
        state=RunState.CANCELED,
        ended_at=now,
        reason=f"the job ended{'' if run.copy == ONLY else ' on this node'} before the run began",
    )

    def work(connection: Connection) -> bool:
        leader.fence(connection, reign.epoch)
        try:
            ended = jobs.get(connection, run.job_id).ended_at is not None
            ended |= run.copy != ONLY and copies.get(connection, (run.job_id, run.copy)).until is not None
        except NotFound:
            ended = True
        return ended and runs.record(connection, report, now) is not None

    return store.transaction(work)
