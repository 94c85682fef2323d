"""Settles the runs that claims no longer tell of: SQL agrees first, then they leave the claim."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.attempts import next_attempt
from cronkeeper.common.coordination.tree import Op, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import (
    ONLY,
    Claim,
    Job,
    Outcome,
    Report,
    Run,
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
from cronkeeper.manager.reports import moment_of, note_end

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
    gone = _agree_in_sql(store, reign, found, when.now) if found else {}
    writes: list[list[Op]] = []
    for each in found:
        left = tuple(run for run in each.claim.unfinished if run.run_id not in gone)
        if left != each.claim.unfinished:
            left += tuple(new for run in each.claim.unfinished if (new := gone.get(run.run_id)) is not None)
            write = SetData(each.placed.claim, encode(replace(each.claim, unfinished=left)), each.version)
            writes.append([reign.fence(), write])
    for error in tree.commit_many(writes):
        if isinstance(error, Unavailable):
            raise error  # one that failed for another reason is looked at again


def settle_removed(store: Store, reign: Reign, board: Board, node: str, when: When) -> None:
    """Give up the runs of a dead node that no claim elsewhere lists.

    Their jobs were removed meanwhile, or wait there since no live node will do or has room, as copies always do.
    """
    reason = f"node {node} has been gone for {when.run_lease:.0f} s"
    if node not in board.known:
        reason = f"node {node} was forgotten"
    waiting = {key for key in board.on(node) if board.live or key[0] in board.wanted}

    def work(connection: Connection) -> int:
        leader.fence(connection, reign.epoch)
        given_up = 0
        for run in runs.unfinished_on(connection, node):
            job = jobs.get(connection, run.job_id)
            key = (run.job_id, run.copy)
            if job.ended_at is None and key not in waiting and run.copy == ONLY:
                continue
            if runs.lose(connection, run.id, reason, when.now):
                jobs.note_outcome(connection, job.id, RunState.LOST, moment_of(run), run.copy)
                log.warning("run %s is lost: %s", run.id, reason, extra={"run": run.id})
                given_up += 1
        return given_up

    metrics.RUNS_LOST.inc(store.transaction(work))


def keep(store: Store, reign: Reign, withdrawn: Sequence[tuple[Placed, Claim]], now: datetime) -> None:
    """Let SQL know of what claims tell that are to go for good, for it may not have heard of that yet.

    How a run ended is left to its node, which knows what it wrote besides.
    """
    told = [
        _called_off(placed, run, now) if run.waits else _report(placed, run, RunState.CLAIMED)
        for placed, claim in withdrawn
        for run in claim.unfinished
    ]
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
        if any(run.node != each.node and not run.waits for run in claim.unfinished):
            board.abroad[each.name.job_id, each.name.copy] = None
            verdict = recover(claim, each.node, seen, now=when.clock, run_lease=when.run_lease)
            found.append(Abroad(each, claim, node.version, verdict))
    return found


def _agree_in_sql(
    store: Store, reign: Reign, found: Sequence[Abroad], now: datetime
) -> dict[str, Unfinished | None]:
    """The runs that are over for good, once SQL says so too: it may know of an end that the claim does not.

    Each with the attempt that follows it, which is to come into the claim as the run leaves it.
    """
    reports = [_given_up(each.placed, *lost, now) for each in found for lost in each.verdict.lost]
    given_up = {run.run_id: run for each in found for run, _ in each.verdict.lost}
    pending = {run.run_id: run for each in found for run in each.verdict.pending}

    def work(connection: Connection) -> tuple[int, dict[str, Run], dict[int, Job]]:
        unheard = _unheard(connection, found)
        if reports or unheard:
            leader.fence(connection, reign.epoch)
        runs.record_many(connection, unheard, now)
        changed = runs.record_many(connection, reports, now)
        for ended in changed:
            note_end(connection, jobs.get(connection, ended.job_id), ended, now)
        known = runs.by_ids(connection, [*given_up, *pending])
        return len(changed), known, {each.id: each for each in jobs.by_ids(connection, _jobs_of(known))}

    count, known, defined = store.transaction(work)
    metrics.RUNS_LOST.inc(count)
    over = {
        run_id: following(run, known[run_id], defined)
        for run_id, run in (given_up | pending).items()
        if run_id in known and known[run_id].state.final and known[run_id].node == run.node
    }
    return {**dict.fromkeys(given_up), **over}


def _unheard(connection: Connection, found: Sequence[Abroad]) -> list[Report]:
    """Of pending runs that SQL does not know: no disk but their node's has them, should the tree be lost now."""
    claimed = [_report(each.placed, run, RunState.CLAIMED) for each in found for run in each.verdict.pending]
    heard = runs.by_ids(connection, [report.run_id for report in claimed])
    return [report for report in claimed if report.run_id not in heard]


def _given_up(placed: Placed, run: Unfinished, reason: str, now: datetime) -> Report:
    more = {"run": run.run_id}
    log.warning("run %s is given up, unless SQL knows its end: %s", run.run_id, reason, extra=more)
    return replace(_report(placed, run, RunState.LOST), ended_at=now, reason=reason)


def _jobs_of(known: Mapping[str, Run]) -> set[int]:
    return {run.job_id for run in known.values()}


def following(run: Unfinished, known: Run, defined: Mapping[int, Job]) -> Unfinished | None:
    """The attempt after one that has ended as SQL knows it."""
    job = defined.get(known.job_id)
    if job is None or job.ended_at is not None or not job.enabled or known.ended_at is None:
        return None
    end = Outcome(
        state=known.state,
        exit_code=known.exit_code,
        reason=known.reason,
        started_at=known.started_at,
        ended_at=known.ended_at,
    )
    return next_attempt(job, run, end)


def _called_off(placed: Placed, run: Unfinished, now: datetime) -> Report:
    report = _report(placed, run, RunState.CANCELED)
    return replace(report, ended_at=now, reason="the job was removed")


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
