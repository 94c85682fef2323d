"""What there is for the leader to do: what the front desk told of, and now and then what SQL alone knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Delete, Op, Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.model import Job, Run
from cronkeeper.common.store import jobs, leader, nodes, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.asked import Asked, asked
from cronkeeper.manager.leadership import Reign

SCAN_EVERY = 5.0
"""Seconds between looks into SQL for what the tree did not tell of."""
SCAN_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Pending:
    """What came in: jobs to look at, the changes that told of them (version by job), and queued runs."""

    jobs: Sequence[Job]
    changes: dict[int, int]
    queued: Sequence[Run]
    asked: Asked
    nodes: nodes.Roll | None
    """As SQL knows them; None where it was not looked at."""
    mark: int
    """The one that SQL has."""


class Intake:
    """Says when to look, and looks."""

    def __init__(self, tree: Tree, store: Store, notify: Callable[[], None]) -> None:
        self._tree = tree
        self._store = store
        self._watch = ChildWatch(tree, paths.CHANGES, notify)
        self._next_scan = 0.0
        self._scanned = 0
        """The last job that the scan has come to; 0: it begins anew."""

    def hurry(self) -> None:
        """Let the next look into SQL be at once."""
        self._next_scan = 0.0

    def hurries(self, clock: float) -> bool:
        """Whether a look into SQL is due."""
        return clock >= self._next_scan

    def take(self, clock: float) -> Pending | None:
        """None where nothing has come in. Raises: Unavailable."""
        scan = self.hurries(clock)
        if not self._watch.fired and not scan:
            return None
        self._watch.arm()
        ids = [int(name) for name in self._tree.children(paths.CHANGES)]
        signs = self._tree.get_many([paths.change(job_id) for job_id in ids])
        found = {job_id: sign for job_id, sign in zip(ids, signs, strict=True) if sign is not None}
        changes = {job_id: sign.version for job_id, sign in found.items()}
        told = asked({job_id: sign.data for job_id, sign in found.items()})

        def work(connection: Connection) -> tuple[list[Job], Pending]:
            told_of = jobs.by_ids(connection, changes)
            page = jobs.unpublished(connection, self._scanned, SCAN_PAGE) if scan else []
            together = list({job.id: job for job in (*told_of, *page)}.values())
            known = nodes.roll(connection) if scan else None
            return page, Pending(
                together, changes, runs.queued(connection), told, known, leader.mark(connection)
            )

        page, pending = self._store.transaction(work)
        if scan:
            # Some stay unpublished for long, as those do that wait for their node: the ones behind them come next.
            through = len(page) < SCAN_PAGE
            self._scanned = 0 if through else page[-1].id
            self._next_scan = clock + SCAN_EVERY if through else 0.0
        return pending

    def drop(self, reign: Reign, changes: dict[int, int]) -> bool:
        """Delete what was looked at, as it was then; False where some of it has been set again meanwhile."""
        batches: list[list[Op]] = [
            [reign.fence(), Delete(paths.change(job_id), version)] for job_id, version in changes.items()
        ]
        return all(error is None for error in self._tree.commit_many(batches))
