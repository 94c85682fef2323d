"""The auditor: finds ticks that nothing tells of, and runs that nobody has. A step of its own, like `retention`.

A step is one batch. It goes through the nodes that have unfinished runs, then through the one-shots that may be
done, then through the jobs by their ids, and begins anew some minutes after it has come to the last.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.expected import Dated, expected
from cronkeeper.common.ledger import Entry, Result, Rules, Span, Window, ledger
from cronkeeper.common.model import Copies
from cronkeeper.common.store import copies, restored, runs, schedules, ticks
from cronkeeper.common.store.store import Store
from cronkeeper.manager.chore import Chore
from cronkeeper.manager.ledger import Line, lines
from cronkeeper.manager.one_shots import OneShots
from cronkeeper.manager.placement import JobKey
from cronkeeper.manager.strays import Strays

log = logging.getLogger(__name__)

REST = 300.0
JOBS = 100
"""How many jobs are looked at in one batch."""
COPIES = 500
"""And how many copies of them, at most."""
BEGIN: JobKey = (0, 0)
ALL = 2**31
"""In place of a copy: all of the job's, however many."""
TICKS = 5000
"""And about how many ticks: as many take 0.2 s, which the leader's thread has to share."""
LOOK_BACK = timedelta(hours=6)
"""How far back a manager begins that has not looked at a job before."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """A copy of a job, the window that was looked at, and what became of the ticks in it."""

    job: Dated
    key: JobKey
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
        self._after: JobKey = BEGIN
        """The last copy that was looked at in this sweep."""
        self._swept: set[JobKey] = set()
        self._seen: dict[JobKey, datetime] = {}
        """Up to where the ticks of each copy are accounted for, or known to be holes."""
        self._overdue: set[JobKey] = set()
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
        looked, after, through = self._store.transaction(lambda connection: self._look(connection, now))
        for each in looked:
            self._judge(each)
            self._swept.add(each.key)
        self._after = after
        if through:
            self._seen = {key: self._seen[key] for key in self._swept}
            self._overdue &= self._swept
            self._sweep()
        return through

    def _begin_anew(self) -> None:
        self._sweep()
        self._overdue.clear()

    def _sweep(self) -> None:
        self._nodes, self._after = None, BEGIN
        self._one_shots.begin_anew()
        self._swept.clear()

    def _look(self, connection: Connection, now: datetime) -> tuple[list[_Looked], JobKey, bool]:
        """What became of the next copies' ticks, up to which copy that is, and whether these are the last ones."""
        last, within = self._after
        jobs = schedules.all_dated(connection, last if within == ALL else last - 1, now - LOOK_BACK, JOBS)
        past = schedules.past(connection, [job.job_id for job in jobs])
        unvouched = restored.spans(connection)
        copied = self._copies(connection, jobs, now)
        found: list[_Looked] = []
        room, after = TICKS, self._after
        for job in jobs:
            for line in lines(job, past.get(job.job_id, ()), copied[job.job_id]):
                if (job.job_id, line.copy) <= self._after:
                    continue
                if room <= 0 or len(found) >= COPIES:
                    return found, after, False
                looked, count = self._look_at(connection, job, line, now, unvouched)
                found.append(looked)
                room -= count
                after = looked.key
            after = (job.job_id, ALL)
        return found, after, len(jobs) < JOBS

    def _copies(
        self, connection: Connection, jobs: Sequence[Dated], now: datetime
    ) -> Mapping[int, list[copies.Copy]]:
        """Of jobs that are on every node, by their ids; of those that count no more the ones that did of late."""
        found = defaultdict(list)
        for each in copies.of_jobs(connection, {job.job_id for job in jobs if job.copies is Copies.ALL}):
            if each.until is None or each.until >= now - LOOK_BACK:
                found[each.job_id].append(each)
        return found

    def _look_at(
        self, connection: Connection, job: Dated, line: Line, now: datetime, unvouched: Sequence[Span]
    ) -> tuple[_Looked, int]:
        """One copy, and how many of its ticks were looked at."""
        key = (job.job_id, line.copy)
        begin = self._seen.get(key, now - LOOK_BACK)
        due = list(islice(expected(line.times, begin, now), TICKS))
        end = now if len(due) < TICKS else due[-1][0] + timedelta(microseconds=1)
        window = Window(begin=begin, end=max(begin, end), now=now)
        told = ticks.told(connection, *key, begin, window.end) if due else []
        entries = ledger(due, told, window, self._rules, job.forgotten_tick, unvouched)
        return _Looked(job, key, window, entries), len(due)

    def _judge(self, looked: _Looked) -> None:
        """Count and tell what is missing, each tick once, and keep from where on to look again."""
        key, now = looked.key, looked.window.now
        waiting = next((e.tick for e in looked.entries if e.result is Result.OPEN and e.run_id is None), None)
        self._seen[key] = seen = looked.window.end if waiting is None else waiting
        for hole, group in groupby(looked.entries, lambda entry: entry.result is Result.UNACCOUNTED):
            holes = [entry.tick for entry in group if hole and entry.tick < seen]
            if holes:
                metrics.LEDGER_HOLES.inc(len(holes))
                told = "nothing tells what became of %d ticks of %s, from %s to %s"
                span = (f"{holes[0]:%FT%TZ}", f"{holes[-1]:%FT%TZ}")
                log.error(told, len(holes), _named(looked), *span, extra={"job": key[0]})
        late = timedelta(seconds=looked.job.max_lateness) + self._rules.patience
        if waiting is None or now - waiting <= late:
            self._overdue.discard(key)
        elif key not in self._overdue:
            self._overdue.add(key)
            told = "%s is overdue: nothing was heard of its tick of %s, nor of any later one"
            log.warning(told, _named(looked), f"{waiting:%FT%TZ}", extra={"job": key[0]})


def _named(looked: _Looked) -> str:
    job_id, copy = looked.key
    return f"job {job_id}" if looked.job.copies is Copies.ONE else f"copy {copy} of job {job_id}"
