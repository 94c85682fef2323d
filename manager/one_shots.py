"""One-shots that are done, and that nobody has ended: SQL waits for an attempt that their claims know nothing of.

Mostly the report of the last end ends the job. But a job may be given more attempts while one goes on: then SQL may
have heard of that edit before the end came in, and the node after it.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import ONLY, Claim, Job, Run, RunState
from cronkeeper.common.schedule import once
from cronkeeper.common.store import jobs, leader, ticks
from cronkeeper.common.store.store import Store
from cronkeeper.manager.desk import tell_leader
from cronkeeper.manager.reports import passed_over, status_after
from cronkeeper.manager.strays import claims_of

log = logging.getLogger(__name__)

JOBS = 100
"""How many are looked at in one batch."""


@dataclass(frozen=True, slots=True)
class _Over:
    """A one-shot whose runs have all ended, and the last of them."""

    job: Job
    last: Run


class OneShots:
    """One manager's way through them. Those whose last run ended less than `patience` ago are left alone."""

    def __init__(self, tree: Tree, store: Store, patience: timedelta) -> None:
        self._tree = tree
        self._store = store
        self._patience = patience
        self._after: int | None = 0
        """The last that was looked at in this sweep; None: that was the last of all."""

    def begin_anew(self) -> None:
        """Begin with the first once more."""
        self._after = 0

    def look(self, epoch: int, now: datetime) -> bool:
        """One look at the next of them; True where there are no more. Raises: Unavailable, Conflict."""
        if self._after is None:
            return True
        found, over = self._store.transaction(lambda connection: self._find(connection, now))
        if over:
            self._tree.sync()
            claims = claims_of(self._tree, {(each.job.id, ONLY) for each in over})
            heard = self._heard(claims.values(), now - self._patience)
            for each in over:
                if _done(claims.get((each.job.id, ONLY)), heard):
                    self._end(each, epoch, now)
        self._after = found[-1].id if len(found) == JOBS else None
        return self._after is None

    def _heard(self, claims: Iterable[tuple[str, Claim]], since: datetime) -> set[str]:
        """Of the nodes that may go on by themselves those that have been live since then: what they did is told."""
        names = sorted({node for node, claim in claims if claim.alone})
        signs = zip(names, self._tree.get_many([paths.live(name) for name in names]), strict=True)
        return {name for name, sign in signs if sign is not None and sign.modified < since.timestamp()}

    def _find(self, connection: Connection, now: datetime) -> tuple[Sequence[Job], Sequence[_Over]]:
        assert self._after is not None
        old = now - self._patience
        found = jobs.open_one_shots(connection, self._after, old, JOBS)
        known = {job.id: _runs(connection, job) for job in found if job.published_rev == job.rev}
        over = [_Over(job, known[job.id][-1]) for job in found if _all_over(known.get(job.id, ()), old)]
        return found, over

    def _end(self, over: _Over, epoch: int, now: datetime) -> None:
        def work(connection: Connection) -> bool:
            leader.fence(connection, epoch)
            if jobs.get(connection, over.job.id, lock=True).rev != over.job.rev:
                return False
            return jobs.finish(connection, over.job.id, now, status_after(over.last))

        if self._store.transaction(work, writes=True):
            more = {"job": over.job.id}
            log.info("job %d is done: nothing follows its run %s", over.job.id, over.last.id, extra=more)
            tell_leader(self._tree, over.job.id, over.job.rev + 1)


def _runs(connection: Connection, job: Job) -> list[Run]:
    """Those of its one tick, by attempt."""
    tick = once(job)
    found = ticks.told(connection, job.id, ONLY, tick, tick)
    return sorted((run for run in found if run.tick == tick), key=lambda run: run.attempt)


def _all_over(runs: Sequence[Run], old: datetime) -> bool:
    if not runs or not all(run.state.final for run in runs):
        return False
    last = runs[-1]
    if last.state is RunState.SKIPPED and not passed_over(last):
        return False
    return (last.created_at if last.ended_at is None else last.ended_at) < old


def _done(found: tuple[str, Claim] | None, heard: Collection[str]) -> bool:
    """Whether nothing of it goes on or waits. Where there is no claim nobody can tell, nor while a node that may go
    on by itself has not been heard: it may have begun a run, and have the next attempt on its disk alone."""
    if found is None or (found[1].alone and found[0] not in heard):
        return False
    return all(run.outcome is not None for run in found[1].unfinished)
