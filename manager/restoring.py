"""Claims that went with a tree which was lost, or put back to an earlier day, are made again: no tick runs twice.

SQL knows at which epoch the tree was seen last. A tree below it has forgotten claims, or tells of older ones: these
are taken out of it before anyone may act on them, and all jobs wait to be published again. Each does until the node
that had it has told what is on its own disk, or for `run_lease`: then what it ran may be unknown, and ticks of that
time are skipped rather than run twice.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import Claim, Job, Skip, SkipReason, decode
from cronkeeper.common.records import Record
from cronkeeper.common.schedule import undone
from cronkeeper.common.store import jobs, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.board import Board
from cronkeeper.manager.settle import When

log = logging.getLogger(__name__)

NOTHING = Record(job_id=0, copy=1, tick=None)


@dataclass(slots=True)
class Restoring:
    """The jobs whose claims are to be made again, each with the node that had it (None: none, it was parked)."""

    owners: dict[int, str | None] = field(default_factory=dict)
    _since: float | None = None
    """When the first was found out, on the lease's clock."""

    def owe(self, assignments: Mapping[int, tuple[str | None, str | None]], clock: float) -> None:
        """Take note of what SQL says of where jobs were."""
        self.owners = {job_id: node for job_id, (node, gen) in assignments.items() if gen == jobs.LOST}
        if self.owners and self._since is None:
            self._since = clock

    def claims(
        self, tree: Tree, store: Store, board: Board, found: Sequence[Job], when: When
    ) -> dict[int, Claim]:
        """The claims of those of the jobs that may be published again. Raises: Unavailable."""
        wanted = [job for job in found if job.id in self.owners and job.ended_at is None]
        if not wanted:
            return {}
        told = self._told(tree, board, {self.owners[job.id] for job in wanted} - {None})
        over = self._since is not None and when.clock - self._since >= when.run_lease
        ready = [job for job in wanted if over or self.owners[job.id] in told]
        newest = store.transaction(
            lambda connection: runs.newest_ticks(connection, [job.id for job in ready])
        )
        return {
            job.id: _claim(job, told.get(self.owners[job.id]), newest.get(job.id), when.now) for job in ready
        }

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


def _claim(job: Job, records: Mapping[int, Record] | None, newest: datetime | None, now: datetime) -> Claim:
    if records is None:
        return _unvouched(job, newest, now)
    record = records.get(job.id, NOTHING)
    ticks = [tick for tick in (newest, record.tick) if tick is not None]
    return Claim(watermark=max(ticks, default=None), unfinished=record.unfinished)


def _unvouched(job: Job, newest: datetime | None, now: datetime) -> Claim:
    """Nobody can say what became of the ticks between what SQL knows and now."""
    span = undone(job, newest, now)
    if span is None:
        return Claim(watermark=newest)
    skip = Skip(first=span[0], last=span[1], reason=SkipReason.UNVOUCHED)
    return Claim(watermark=skip.last, skips=(skip,))
