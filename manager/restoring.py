"""Claims that went with a tree which was lost, or put back to an earlier day, are made again: no tick runs twice.

SQL knows at which mark the tree was seen last. A tree below it has forgotten claims, or tells of older ones: these
are taken out of it before anyone may act on them, and all jobs wait to be published again. Each does until the node
that had it, and every one where SQL knows of a run that goes on, has told what is on its own disk, or for
`run_lease`: then what it ran may be unknown, and ticks of that time are skipped rather than run twice.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import (
    Claim,
    Job,
    Run,
    Skip,
    SkipReason,
    Unfinished,
    attempt_run_id,
    decode,
    replace,
)
from cronkeeper.common.records import Record
from cronkeeper.common.schedule import undone
from cronkeeper.common.store import jobs, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board
from cronkeeper.manager.settle import When, following

log = logging.getLogger(__name__)

NOTHING = Record(job_id=0, copy=1, tick=None)


@dataclass(slots=True)
class Restoring:
    """The jobs whose claims are to be made again, each with the node that had it (None: none, it was parked)."""

    owners: dict[int, str | None] = field(default_factory=dict)
    pending: bool = False
    """Whether some of those that were asked for last wait for the word of a node."""
    _since: float | None = None
    """When the first was found out, on the lease's clock."""

    def owe(
        self, assignments: Mapping[int, tuple[str | None, str | None]], board: Board, clock: float
    ) -> None:
        """Take note of what SQL says of where jobs were; it may not have heard of those that are published."""
        self.owners = {
            job_id: node
            for job_id, (node, gen) in assignments.items()
            if gen == jobs.LOST and (job_id, 1) not in board.placed
        }
        if self.owners and self._since is None:
            self._since = clock

    def claims(
        self, tree: Tree, store: Store, board: Board, found: Sequence[Job], when: When
    ) -> dict[int, Claim]:
        """The claims of those of the jobs that may be published again. Raises: Unavailable."""
        wanted, self.pending = [job for job in found if self.waits(job)], False
        if not wanted:
            return {}
        known = store.transaction(partial(_known, [job.id for job in wanted]))
        ran = {job.id: self._may_have_run(job, board) for job in wanted}
        asked = {job.id: ran[job.id] | {run.node for run in known.going_on[job.id]} for job in wanted}
        told = self._told(tree, board, set().union(*asked.values()))
        over = self._since is not None and when.clock - self._since >= when.run_lease
        ready = [job for job in wanted if over or asked[job.id] <= told.keys()]
        self.pending = len(ready) < len(wanted)
        ended = store.transaction(partial(_ended, told))
        claims = {}
        for job in ready:
            records = [told[node].get(job.id, NOTHING) for node in asked[job.id] if node in told]
            claim = _claim(job, records, known.newest.get(job.id), ended)
            left = tuple(self._left(run, board) for run in known.going_on[job.id] if run.node not in told)
            claim = replace(claim, unfinished=claim.unfinished + left)
            vouched = ran[job.id] <= told.keys()
            claims[job.id] = claim if vouched else _unvouched(job, claim, when.now)
        return claims

    def _may_have_run(self, job: Job, board: Board) -> frozenset[str | None]:
        """The nodes of which one ran the last ticks of the job: of a parked one that may be any."""
        owner = self.owners[job.id]
        return frozenset({owner}) if owner is not None else frozenset(board.known or {None})

    def _left(self, run: Run, board: Board) -> Unfinished:
        """A run of which SQL alone tells. Where its node is gone it has been for `run_lease`: the board says so."""
        assert run.node is not None
        assert self._since is not None
        live = board.live.get(run.node)
        if live is None:
            board.nodes.add(run.node)
            board.absent_since[run.node] = min(board.absent_since.get(run.node, self._since), self._since)
        return Unfinished(
            run_id=run.id,
            tick=run.tick,
            attempt=run.attempt,
            node=run.node,
            boot_id="" if live is None else live.boot_id,
            started_by=run.started_by,
        )

    def waits(self, job: Job) -> bool:
        """Whether the job's claim is still to be made again."""
        return job.id in self.owners and job.ended_at is None

    def done(self, job_ids: Iterable[int]) -> None:
        """These are published."""
        for job_id in job_ids:
            self.owners.pop(job_id, None)

    def _told(
        self, tree: Tree, board: Board, owners: "set[str | None]"
    ) -> dict[str | None, dict[int, Record]]:
        """What the live ones of the nodes say of their jobs."""
        live = sorted(node for node in owners if node is not None and node in board.live)
        found = zip(live, tree.get_many([paths.records(node) for node in live]), strict=True)
        return {
            node: {record.job_id: record for record in decode(there.data, tuple[Record, ...])}
            for node, there in found
            if there is not None
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """What SQL knows of jobs, by their ids: the last tick of each, and its runs that have not ended."""

    newest: Mapping[int, datetime]
    going_on: Mapping[int, list[Run]]


def _known(job_ids: Sequence[int], connection: Connection) -> _Known:
    going_on: defaultdict[int, list[Run]] = defaultdict(list)
    for run in runs.unfinished_of(connection, job_ids):
        going_on[run.job_id].append(run)
    return _Known(runs.newest_ticks(connection, job_ids), going_on)


def _ended(told: Mapping[str | None, Mapping[int, Record]], connection: Connection) -> dict[str, Run]:
    """What SQL knows of the runs that the nodes told of, and of the attempts after them."""
    listed = [run for records in told.values() for record in records.values() for run in record.unfinished]
    after = [attempt_run_id(run.run_id, run.attempt + 1) for run in listed]
    return runs.by_ids(connection, [*(run.run_id for run in listed), *after])


def _claim(job: Job, records: Sequence[Record], newest: datetime | None, known: Mapping[str, Run]) -> Claim:
    ticks = [tick for tick in (newest, *(record.tick for record in records)) if tick is not None]
    listed = (_goes_on(job, run, known) for record in records for run in record.unfinished)
    return Claim(
        watermark=max(ticks, default=None), unfinished=tuple(run for run in listed if run is not None)
    )


def _goes_on(job: Job, run: Unfinished, known: Mapping[str, Run]) -> Unfinished | None:
    """The run, or what follows it where SQL was told of its end since: its folder may be gone."""
    end = known.get(run.run_id)
    if end is None or not end.state.final:
        return run
    if attempt_run_id(run.run_id, run.attempt + 1) in known:  # it was given up, and goes on nevertheless
        return None
    return following(run, end, {job.id: job})


def _unvouched(job: Job, claim: Claim, now: datetime) -> Claim:
    """Nobody can say what became of the ticks between what is known and now."""
    span = undone(job, claim.watermark, now)
    if span is None:
        return claim
    skip = Skip(first=span[0], last=span[1], reason=SkipReason.UNVOUCHED)
    return replace(claim, watermark=skip.last, skips=(skip,))
