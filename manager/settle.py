"""Settles the runs that claims no longer tell of: SQL agrees first, then they leave the claim."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination.tree import Op, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import (
    Claim,
    Report,
    RunState,
    Skip,
    StartedBy,
    Unfinished,
    decode,
    encode,
    replace,
    tick_run_id,
)
from cronkeeper.common.store import jobs, leader, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.publish import Placed
from cronkeeper.manager.recovery import Nodes, Verdict, recover
from cronkeeper.manager.reports import note_end

log = logging.getLogger(__name__)

LOOKS = 1000
"""How many claims are looked at in one round."""


@dataclass(frozen=True, slots=True)
class When:
    """The wall's time, the lease's clock, and how long a dead node's runs are waited for (seconds)."""

    now: datetime
    clock: float
    run_lease: float


@dataclass(frozen=True, slots=True)
class Abroad:
    """A claim that lists unfinished runs of other nodes, and what is to become of them."""

    placed: Placed
    claim: Claim
    version: int
    verdict: Verdict


def settle(tree: Tree, store: Store, reign: Reign, board: Board, when: When) -> None:
    """One look at claims that may list a run of another node. Raises: Unavailable, Conflict."""
    found = _look(tree, board, when)
    gone = _agree_in_sql(store, reign, found, when.now) if found else set()
    writes: list[list[Op]] = []
    for each in found:
        left = tuple(run for run in each.claim.unfinished if run.run_id not in gone)
        if left != each.claim.unfinished:
            write = SetData(each.placed.claim, encode(replace(each.claim, unfinished=left)), each.version)
            writes.append([reign.fence(), write])
    for error in tree.commit_many(writes):
        if isinstance(error, Unavailable):
            raise error  # one that failed for another reason is looked at again


def settle_removed(store: Store, reign: Reign, board: Board, node: str, when: When) -> None:
    """Give up the runs of a dead node that no claim elsewhere lists.

    Their jobs were removed meanwhile, or wait there since no live node will do or has room.
    """
    reason = f"node {node} has been gone for {when.run_lease:.0f} s"
    if node not in board.known:
        reason = f"node {node} was forgotten"
    waiting = {key[0] for key in board.on(node) if board.live or key[0] in board.wanted}

    def work(connection: Connection) -> int:
        leader.fence(connection, reign.epoch)
        given_up = 0
        for run in runs.unfinished_on(connection, node):
            job = jobs.get(connection, run.job_id)
            if job.ended_at is None and job.id not in waiting:
                continue
            if runs.lose(connection, run.id, reason, when.now):
                moment = run.tick if run.tick is not None else run.created_at
                jobs.note_outcome(connection, job.id, RunState.LOST, moment)
                log.warning("run %s is lost: %s", run.id, reason, extra={"run": run.id})
                given_up += 1
        return given_up

    metrics.RUNS_LOST.inc(store.transaction(work))


def keep(store: Store, reign: Reign, withdrawn: Sequence[tuple[Placed, Claim]], now: datetime) -> None:
    """Let SQL know of what claims tell that are to go for good, for it may not have heard of that yet.

    How a run ended is left to its node, which knows what it wrote besides.
    """
    told = [_report(placed, run, RunState.CLAIMED) for placed, claim in withdrawn for run in claim.unfinished]
    told += [_skip(placed, skip, now) for placed, claim in withdrawn for skip in claim.skips]
    if not told:
        return

    def work(connection: Connection) -> None:
        leader.fence(connection, reign.epoch)
        runs.record_many(connection, told, now)

    store.transaction(work)


def _skip(placed: Placed, skip: Skip, now: datetime) -> Report:
    """As its node would report it."""
    key = (placed.name.job_id, placed.name.copy)
    return Report(
        run_id=tick_run_id(*key, skip.last, 1),
        job_id=placed.name.job_id,
        copy=placed.name.copy,
        tick=skip.last,
        attempt=1,
        gen=str(placed.name.gen),
        node=placed.node,
        started_by=StartedBy.CLOCK,
        state=RunState.SKIPPED,
        ended_at=now,
        reason=skip.reason,
        first_tick=None if skip.first == skip.last else skip.first,
    )


def _look(tree: Tree, board: Board, when: When) -> list[Abroad]:
    """The next of the claims that may be concerned; those that are not are not looked at again."""
    keys = list(islice(board.abroad, LOOKS))
    placed = [board.placed[key] for key in keys if key in board.placed]
    nodes = tree.get_many([each.claim for each in placed])
    for key in keys:
        del board.abroad[key]
    found = []
    seen = Nodes(board.known, board.live, board.absent_since)
    for each, node in zip(placed, nodes, strict=True):
        if node is None:
            continue
        claim = decode(node.data, Claim)
        if any(run.node != each.node for run in claim.unfinished):
            board.abroad[each.name.job_id, each.name.copy] = None
            verdict = recover(claim, each.node, seen, now=when.clock, run_lease=when.run_lease)
            found.append(Abroad(each, claim, node.version, verdict))
    return found


def _agree_in_sql(store: Store, reign: Reign, found: Sequence[Abroad], now: datetime) -> set[str]:
    """The runs that are over for good, once SQL says so too: it may know of an end that the claim does not."""
    lost = [(each.placed, run, reason) for each in found for run, reason in each.verdict.lost]
    reports = [
        replace(_report(placed, run, RunState.LOST), ended_at=now, reason=reason)
        for placed, run, reason in lost
    ]
    pending = {run.run_id: run.node for each in found for run in each.verdict.pending}

    def work(connection: Connection) -> tuple[int, set[str]]:
        if reports:
            leader.fence(connection, reign.epoch)
        given_up = runs.record_many(connection, reports, now)
        for ended in given_up:
            note_end(connection, jobs.get(connection, ended.job_id), ended, now)
        known = runs.by_ids(connection, pending)
        over = {run.id for run in known.values() if run.state.final and run.node == pending[run.id]}
        return len(given_up), over

    given_up, over = store.transaction(work)
    metrics.RUNS_LOST.inc(given_up)
    for _, run, reason in lost:
        log.warning(
            "run %s is given up, unless SQL knew its end: %s", run.run_id, reason, extra={"run": run.run_id}
        )
    return over | {run.run_id for _, run, _ in lost}


def _report(placed: Placed, run: Unfinished, state: RunState) -> Report:
    return Report(
        run_id=run.run_id,
        job_id=placed.name.job_id,
        copy=placed.name.copy,
        tick=run.tick,
        attempt=run.attempt,
        gen=str(placed.name.gen),
        node=run.node,
        started_by=run.started_by,
        state=state,
    )
