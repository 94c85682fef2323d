"""Claims that went with a tree which was lost, or put back to an earlier day, are made again: no tick runs twice.

SQL knows at which mark the tree was seen last. A tree below it has forgotten claims, or tells of older ones: these
are taken out of it before anyone may act on them, and all jobs wait to be published again. Each does until the node
that had it, and every one where SQL knows of a run that goes on, has told what is on its own disk, or for
`run_lease`: then what it ran may be unknown, and ticks of that time are skipped rather than run twice. What fell
due before the last pause of the node, or of the fleet, was over is skipped here: word of it went with the tree too.
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
    ONLY,
    Claim,
    Job,
    Run,
    SkipReason,
    Unfinished,
    attempt_run_id,
    decode,
    replace,
)
from cronkeeper.common.passed_over import with_skip
from cronkeeper.common.pauses import Pauses, waits_for_resumption
from cronkeeper.common.records import Record
from cronkeeper.common.store import copies, jobs, pauses, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board
from cronkeeper.manager.placement import JobKey
from cronkeeper.manager.settle import When, following

log = logging.getLogger(__name__)

NOTHING = Record(job_id=0, copy=ONLY, tick=None)


@dataclass(slots=True)
class Restoring:
    """The jobs whose claims are to be made again, each with the node that had it (None: none, it was parked)."""

    owners: dict[JobKey, str | None] = field(default_factory=dict)
    pending: bool = False
    """Whether some of those that were asked for last wait for the word of a node."""
    _since: float | None = None
    """When the first was found out, on the lease's clock."""

    def owe(
        self, assignments: Mapping[JobKey, tuple[str | None, str | None]], board: Board, clock: float
    ) -> None:
        """Take note of what SQL says of where jobs were; it may not have heard of those that are published."""
        self.owners = {
            key: node
            for key, (node, gen) in assignments.items()
            if gen == jobs.LOST and key not in board.placed
        }
        if self.owners and self._since is None:
            self._since = clock

    def claims(
        self, tree: Tree, store: Store, board: Board, found: Mapping[JobKey, Job], when: When
    ) -> dict[JobKey, Claim]:
        """The claims of those of the jobs that may be published again. Raises: Unavailable."""
        wanted = {key: job for key, job in found.items() if self.waits(key, job)}
        self.pending = False
        if not wanted:
            return {}
        known = store.transaction(partial(_known, list(wanted)))
        ran = {key: self._may_have_run(key, board) for key in wanted}
        asked = {key: ran[key] | {run.node for run in known.going_on[key]} for key in wanted}
        told = self._told(tree, board, set().union(*asked.values()))
        over = self._since is not None and when.clock - self._since >= when.run_lease
        ready = [key for key in wanted if over or asked[key] <= told.keys()]
        self.pending = len(ready) < len(wanted)
        ended = store.transaction(partial(_ended, told))
        claims = {}
        for key in ready:
            job = wanted[key]
            records = [told[node].get(key, NOTHING) for node in asked[key] if node in told]
            claim = _claim(job, records, known.newest.get(key), ended)
            left = tuple(self._left(run, board) for run in known.going_on[key] if run.node not in told)
            claim = replace(claim, unfinished=claim.unfinished + left)
            if ran[key] <= told.keys():
                claims[key] = _paused(job, claim, known.pauses.until(self.owners[key], when.now))
            else:
                claims[key] = with_skip(claim, job, when.now, SkipReason.UNVOUCHED)
        return claims

    def _may_have_run(self, key: JobKey, board: Board) -> frozenset[str | None]:
        """The nodes of which one ran the last ticks of the job: of a parked one that may be any."""
        owner = self.owners[key]
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

    def waits(self, key: JobKey, job: Job) -> bool:
        """Whether the job's claim is still to be made again."""
        return key in self.owners and job.ended_at is None

    def done(self, keys: Iterable[JobKey]) -> None:
        """These are published."""
        for key in keys:
            self.owners.pop(key, None)

    def _told(
        self, tree: Tree, board: Board, owners: "set[str | None]"
    ) -> dict[str | None, dict[JobKey, Record]]:
        """What the live ones of the nodes say of their jobs."""
        live = sorted(node for node in owners if node is not None and node in board.live)
        found = zip(live, tree.get_many([paths.records(node) for node in live]), strict=True)
        return {
            node: {(each.job_id, each.copy): each for each in decode(there.data, tuple[Record, ...])}
            for node, there in found
            if there is not None
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """What SQL knows of jobs: the last tick of each, and its runs that have not ended; and who is paused."""

    newest: Mapping[JobKey, datetime]
    going_on: Mapping[JobKey, list[Run]]
    pauses: Pauses


def _known(keys: Sequence[JobKey], connection: Connection) -> _Known:
    going_on: defaultdict[JobKey, list[Run]] = defaultdict(list)
    for run in runs.unfinished_of(connection, {job_id for job_id, _ in keys}):
        going_on[run.job_id, run.copy].append(run)
    # A copy knows nothing of the ticks from before it counted.
    copied = copies.of_jobs(connection, {job_id for job_id, copy in keys if copy != ONLY})
    since = {(each.job_id, each.copy): each.since for each in copied}
    newest = runs.newest_ticks(connection, keys)
    for key in since.keys() & set(keys):
        newest[key] = max(newest.get(key, since[key]), since[key])
    return _Known(newest, going_on, pauses.read(connection))


def _ended(told: Mapping[str | None, Mapping[JobKey, Record]], connection: Connection) -> dict[str, Run]:
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


def _paused(job: Job, claim: Claim, until: datetime | None) -> Claim:
    """The claim without what fell due in the node's last pause, of which it may never be told."""
    if until is None or waits_for_resumption(job):
        return claim
    return with_skip(claim, job, until, SkipReason.PAUSED)
