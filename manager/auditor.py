"""The auditor: finds ticks that nothing tells of, and runs that nobody has. A step of its own, like `retention`.

A step is one batch. It goes through the nodes that have unfinished runs, then through the one-shots that may be
done, then through the jobs by their ids, and begins anew some minutes after it has come to the last.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.expected import Dated, expected, periods
from cronkeeper.common.ledger import Entry, Result, Rules, Window, ledger
from cronkeeper.common.store import restored, runs, schedules, ticks
from cronkeeper.common.store.store import Store
from cronkeeper.manager.chore import Chore
from cronkeeper.manager.ledger import COPY
from cronkeeper.manager.one_shots import OneShots
from cronkeeper.manager.strays import Strays

log = logging.getLogger(__name__)

REST = 300.0
JOBS = 100
"""How many jobs are looked at in one batch."""
TICKS = 5000
"""And about how many ticks: as many take 0.2 s, which the leader's thread has to share."""
LOOK_BACK = timedelta(hours=6)
"""How far back a manager begins that has not looked at a job before."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """A job, the window that was looked at, and what became of the ticks in it."""

    job: Dated
    window: Window
    entries: Sequence[Entry]


class Auditor(Chore):
    """See `Chore`."""

    def __init__(self, tree: Tree, store: Store, by: Rules, notify: Callable[[], None]) -> None:
        super().__init__(notify, REST, "the ledger is not audited")
        self._store = store
        self._rules = by
        self._strays = Strays(tree, store, by.patience)
        self._one_shots = OneShots(tree, store, by.patience)
        self._nodes: list[str] | None = None
        """Those whose runs are still to be looked at in this sweep; None: it has not begun."""
        self._after = 0
        """The last job that was looked at in this sweep."""
        self._swept: set[int] = set()
        self._seen: dict[int, datetime] = {}
        """Up to where the ticks of each job are accounted for, or known to be holes."""
        self._overdue: set[int] = set()
        metrics.LEDGER_OVERDUE.set_function(lambda: 0 if self._epoch is None else len(self._overdue))

    def _batch(self, epoch: int, now: datetime) -> bool:
        """Returns whether nothing is left to do."""
        if self._nodes is None:
            self._nodes = self._store.transaction(runs.nodes_of_unfinished)
        if self._nodes:
            self._strays.look(self._nodes[-1], epoch, now)
            self._nodes.pop()
            return False
        if not self._one_shots.look(epoch, now):
            return False
        looked, through = self._store.transaction(lambda connection: self._look(connection, now))
        for each in looked:
            self._judge(each)
            self._after = each.job.job_id
            self._swept.add(self._after)
        if through:
            self._seen = {job_id: self._seen[job_id] for job_id in self._swept}
            self._overdue &= self._swept
            self._sweep()
        return through

    def _begin_anew(self) -> None:
        self._sweep()
        self._overdue.clear()

    def _sweep(self) -> None:
        self._nodes, self._after = None, 0
        self._one_shots.begin_anew()
        self._swept.clear()

    def _look(self, connection: Connection, now: datetime) -> tuple[list[_Looked], bool]:
        """What became of the next jobs' ticks, and whether these are the last jobs."""
        jobs = schedules.all_dated(connection, self._after, now - LOOK_BACK, JOBS)
        past = schedules.past(connection, [job.job_id for job in jobs])
        unvouched = restored.spans(connection)
        found: list[_Looked] = []
        room = TICKS
        for job in jobs:
            if room <= 0:
                return found, False
            times = periods(job, past.get(job.job_id, ()))
            begin = self._seen.get(job.job_id, now - LOOK_BACK)
            due = list(islice(expected(times, begin, now), TICKS))
            end = now if len(due) < TICKS else due[-1][0] + timedelta(microseconds=1)
            window = Window(begin=begin, end=max(begin, end), now=now)
            told = ticks.told(connection, job.job_id, COPY, begin, window.end) if due else []
            entries = ledger(due, told, window, self._rules, job.forgotten_tick, unvouched)
            found.append(_Looked(job, window, entries))
            room -= len(due)
        return found, len(jobs) < JOBS

    def _judge(self, looked: _Looked) -> None:
        """Count and tell what is missing, each tick once, and keep from where on to look again."""
        job_id, now = looked.job.job_id, looked.window.now
        waiting = next((e.tick for e in looked.entries if e.result is Result.OPEN and e.run_id is None), None)
        self._seen[job_id] = seen = looked.window.end if waiting is None else waiting
        for hole, group in groupby(looked.entries, lambda entry: entry.result is Result.UNACCOUNTED):
            holes = [entry.tick for entry in group if hole and entry.tick < seen]
            if holes:
                metrics.LEDGER_HOLES.inc(len(holes))
                told = "nothing tells what became of %d ticks of job %d, from %s to %s"
                span = (f"{holes[0]:%FT%TZ}", f"{holes[-1]:%FT%TZ}")
                log.error(told, len(holes), job_id, *span, extra={"job": job_id})
        late = timedelta(seconds=looked.job.max_lateness) + self._rules.patience
        if waiting is None or now - waiting <= late:
            self._overdue.discard(job_id)
        elif job_id not in self._overdue:
            self._overdue.add(job_id)
            told = "job %d is overdue: nothing was heard of its tick of %s, nor of any later one"
            log.warning(told, job_id, f"{waiting:%FT%TZ}", extra={"job": job_id})
