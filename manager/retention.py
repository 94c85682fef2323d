"""Removes what is old of the history: a step of its own, so that no move of the leader waits for it.

A step is one batch. It goes through the jobs by their ids, and begins anew an hour after it has come to the last.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from cronkeeper.common.artifacts.store import ArtifactStore, OutputName
from cronkeeper.common.settings import History
from cronkeeper.common.store import history, leader, outputs, schedules, ticks
from cronkeeper.common.store.store import Store
from cronkeeper.manager.chore import Chore

log = logging.getLogger(__name__)

REST = 3600.0
JOBS = 100
"""How many jobs are looked at in one batch."""
ROWS = 200
"""How many rows of a kind are removed in one batch: others wait for such a transaction."""
SCAN = 400
"""How many rows of one job's outputs are looked at in one batch."""
KEY_DAYS = 7
"""How long a request can be repeated with its Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a sweep has come: the last job that is done, and the last run of the next one whose output is."""

    job_id: int = 0
    run_id: str = ""


BEGINNING = Place()


@dataclass(frozen=True, slots=True)
class Found:
    """The runs to remove, those to remove only the output of, and where to go on; None: this was all."""

    runs: list[str]
    outputs: list[str]
    following: Place | None


class Retention(Chore):
    """See `Chore`."""

    def __init__(
        self, store: Store, artifacts: ArtifactStore, limits: History, notify: Callable[[], None]
    ) -> None:
        super().__init__(notify, REST, "old runs and outputs stay")
        self._store = store
        self._artifacts = artifacts
        self.limits = limits
        """What is kept; others count from the next batch on."""
        self._place = BEGINNING

    def _begin_anew(self) -> None:
        self._place = BEGINNING

    def _batch(self, epoch: int, now: datetime) -> bool:
        """Returns whether nothing is left to do."""
        place = self._place
        found = self._store.transaction(lambda connection: find(connection, self.limits, place, now))
        ids = list(dict.fromkeys(found.runs + found.outputs))
        if ids:
            # The store first: what SQL no longer knows of would lie there for ever.
            stored = self._store.transaction(lambda connection: outputs.stored_of(connection, ids))
            if stored:
                self._artifacts.remove_outputs([OutputName(run_id, stream) for run_id, stream in stored])

        def work(connection: Connection) -> tuple[int, int]:
            leader.fence(connection, epoch)
            outputs.remove(connection, ids)
            ticks.note_forgotten(connection, found.runs)
            removed = history.remove_runs(connection, found.runs)
            keys = history.forget_requests(connection, now - timedelta(days=KEY_DAYS), ROWS)
            before = _before(self.limits.runs_days, now)
            periods = schedules.forget(connection, before, ROWS) if before is not None else 0
            return removed, max(keys, periods)

        removed, others = self._store.transaction(work, writes=True)
        if ids:
            log.info("%d old runs removed, and the output of %d", removed, len(ids))
        self._place = BEGINNING if found.following is None else found.following
        return found.following is None and others < ROWS


def find(connection: Connection, limits: History, place: Place, now: datetime) -> Found:
    """What is old of the next jobs, up to about as much as goes into one batch."""
    runs: list[str] = []
    written: list[str] = []
    done, after = place.job_id, place.run_id
    jobs = history.job_ids(connection, done, JOBS)
    for job_id in jobs:
        runs += _old_runs(connection, limits, job_id, ROWS - len(runs), now)
        if len(runs) >= ROWS:
            return Found(runs, written, Place(done, after))
        old, last = _old_outputs(connection, limits, job_id, after, now)
        written += old
        if last is not None:
            return Found(runs, written, Place(done, last))
        done, after = job_id, ""
        if len(written) >= ROWS:
            break
    through = len(jobs) < JOBS and (not jobs or done == jobs[-1])
    return Found(runs, written, None if through else Place(done))


def _old_runs(connection: Connection, limits: History, job_id: int, limit: int, now: datetime) -> list[str]:
    place = history.place_of_old(connection, job_id, limits.runs_per_job, _before(limits.runs_days, now))
    return [] if place is None else history.old_runs(connection, job_id, place, limit)


def _old_outputs(
    connection: Connection, limits: History, job_id: int, after: str, now: datetime
) -> tuple[list[str], str | None]:
    """The runs whose outputs are old, and the last that was looked at, where there may be more."""
    place = history.place_of_old(connection, job_id, limits.output_per_job, _before(limits.output_days, now))
    if place is None:
        return [], None
    looked_at = history.runs_with_output(connection, job_id, after, SCAN)
    # A run has two rows at most, so fewer runs than half of them are all there are.
    last = looked_at[-1] if len(looked_at) >= SCAN // 2 else None
    return history.old_of(connection, looked_at, place), last


def _before(days: float, now: datetime) -> datetime | None:
    try:
        return now - timedelta(days=days) if days > 0 else None
    except OverflowError:  # before the year 1, as somebody may say who means for ever
        return None
