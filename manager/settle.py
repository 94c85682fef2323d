"""Settles the runs that dead nodes left behind: SQL agrees first, then they leave the claim."""

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, NoNode, SetData, Tree
from cronkeeper.common.errors import NotFound
from cronkeeper.common.model import Claim, Report, RunState, Unfinished, decode, encode, replace
from cronkeeper.common.store import jobs, leader, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board, foreign
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.publish import Placed
from cronkeeper.manager.recovery import Verdict, recover
from cronkeeper.manager.reports import note_end

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class When:
    """The wall's time, the lease's clock, and how long a dead node's runs are waited for (seconds)."""

    now: datetime
    clock: float
    run_lease: float


def settle(tree: Tree, store: Store, reign: Reign, board: Board, when: When) -> None:
    """One look at every claim that lists a run of another node. Raises: Unavailable, Conflict."""
    for key in sorted(board.abroad):
        placed = board.placed[key]
        try:
            node = tree.get(paths.claim(placed.node, placed.name))
        except NoNode:
            continue
        claim = decode(node.data, Claim)
        verdict = recover(
            claim,
            placed.node,
            live=board.live,
            absent_since=board.absent_since,
            now=when.clock,
            run_lease=when.run_lease,
        )
        gone = _agree_in_sql(store, reign, placed, verdict, when.now)
        left = replace(claim, unfinished=tuple(run for run in claim.unfinished if run.run_id not in gone))
        if gone:
            try:
                write = SetData(paths.claim(placed.node, placed.name), encode(left), node.version)
                tree.commit([reign.fence(), write])
            except BadVersion:
                continue
        if not foreign(left, placed.node):
            board.abroad.discard(key)


def settle_removed(store: Store, reign: Reign, node: str, now: datetime, run_lease: float) -> None:
    """Give up the runs of a dead node that no claim lists any more: their jobs were removed meanwhile."""
    reason = f"node {node} has been gone for {run_lease:.0f} s"

    def work(connection: Connection) -> None:
        leader.fence(connection, reign.epoch)
        for run in runs.unfinished_on(connection, node):
            job = jobs.get(connection, run.job_id)
            if job.ended_at is not None and runs.lose(connection, run.id, reason, now):
                log.warning("run %s is lost: %s", run.id, reason)

    store.transaction(work)


def _agree_in_sql(store: Store, reign: Reign, placed: Placed, verdict: Verdict, now: datetime) -> set[str]:
    """The runs that are over for good, once SQL says so too: it may know of an end that the claim does not."""
    if not verdict.lost and not verdict.pending:
        return set()

    def work(connection: Connection) -> set[str]:
        leader.fence(connection, reign.epoch)
        gone = set()
        for run, reason in verdict.lost:
            ended = runs.record(connection, _lost(placed, run, reason, now), now)
            if ended is not None:
                note_end(connection, jobs.get(connection, ended.job_id), ended, now)
            gone.add(run.run_id)
        for run in verdict.pending:
            if _is_over(connection, run.run_id):
                gone.add(run.run_id)
        return gone

    gone = store.transaction(work)
    for run, reason in verdict.lost:
        log.warning("run %s is given up, unless SQL knew its end: %s", run.run_id, reason)
    return gone


def _is_over(connection: Connection, run_id: str) -> bool:
    try:
        return runs.get(connection, run_id).state.final
    except NotFound:
        return False


def _lost(placed: Placed, run: Unfinished, reason: str, now: datetime) -> Report:
    return Report(
        run_id=run.run_id,
        job_id=placed.name.job_id,
        copy=placed.name.copy,
        tick=run.tick,
        attempt=run.attempt,
        gen=str(placed.name.gen),
        node=run.node,
        started_by=run.started_by,
        state=RunState.LOST,
        ended_at=now,
        reason=reason,
    )
