"""The front desk for the ledger: what became of a job's ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common.errors import Invalid
from cronkeeper.common.expected import Dated, Period, clipped, expected, periods
from cronkeeper.common.ledger import Entry, Rules, Span, Summary, Window, ledger, summary
from cronkeeper.common.model import ONLY, Copies, replace
from cronkeeper.common.store import copies, restored, schedules, ticks
from cronkeeper.manager.desk import Desk

MOST = 10_000
"""Ticks in one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of the ticks of a window. `known_from`: of what was due before that, nothing is known."""

    window: Window
    known_from: datetime | None
    summary: Summary
    ticks: Sequence[Entry]
    unvouched: Sequence[Span] = ()
    """The times up to its end of which only a part is known, and that are not over before its begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One copy of a job, and when it was due."""

    copy: int
    node: str | None
    """None of the copy of a job that has one: it may be anywhere."""
    times: Sequence[Period]


def lines(job: Dated, past: Sequence[Period], of_all: Sequence[copies.Copy]) -> list[Line]:
    """The copies of a job by their numbers; `of_all` are those that it has had where it is on every node."""
    times = periods(job, past)
    if job.copies is Copies.ONE:
        return [Line(copy=ONLY, node=None, times=times)]
    return [
        Line(copy=each.copy, node=each.node, times=clipped(times, each.since, each.until))
        for each in sorted(of_all, key=lambda each: each.copy)
    ]


def of_job(desk: Desk, job_id: int, window: Window, rules: Rules, node: str | None = None) -> Ledger:
    """The ledger of a job: the ticks in the window that had fallen due by its `now`, by tick and copy.

    Args:
        node: of a job with a copy on each node only the ticks of that one; of others those that ran there.

    Raises:
        NotFound: there is no such job.
        Invalid: more ticks lie in the window than one answer holds.
        Unavailable: SQL does not answer.
    """

    def work(connection: Connection) -> Ledger:
        job = schedules.dated(connection, job_id)
        unvouched = restored.spans(connection)
        past = schedules.past(connection, [job_id]).get(job_id, ())
        there = copies.of_jobs(connection, [job_id]) if job.copies is Copies.ALL else []
        chosen = [line for line in lines(job, past, there) if node is None or line.node in (None, node)]
        entries = _entries(connection, job, chosen, window, rules, unvouched)
        if node is not None and job.copies is Copies.ONE:
            entries = [entry for entry in entries if entry.node == node]
        times = periods(job, past)
        known_from = times[0].effective_from if times else None
        inside = [span for span in unvouched if span.since < window.end and span.until > window.begin]
        counted = summary(entries)
        return Ledger(window=window, known_from=known_from, summary=counted, ticks=entries, unvouched=inside)

    return desk.store.transaction(work)


def _entries(
    connection: Connection,
    job: Dated,
    of: Sequence[Line],
    window: Window,
    rules: Rules,
    unvouched: Sequence[Span],
) -> list[Entry]:
    entries: list[Entry] = []
    room, share = MOST, MOST // max(1, len(of))
    for line in of:
        due = list(islice(expected(line.times, window.begin, window.end), room + 1))
        if len(due) > room:
            _refuse(due[min(share, len(due) - 1)][0], len(of))
        room -= len(due)
        runs = ticks.told(connection, job.job_id, line.copy, window.begin, window.end)
        found = ledger(due, runs, window, rules, job.forgotten_tick, unvouched)
        entries += (replace(entry, copy=line.copy, node=entry.node or line.node) for entry in found)
    return sorted(entries, key=lambda entry: (entry.tick, entry.copy))


def _refuse(until: datetime, count: int) -> None:
    complaint = f"more than {MOST:,} ticks fell due until then; accepted: up to {until:%FT%TZ}"
    if count > 1:
        complaint += f"; or one node of the {count}, as `node`"
    raise Invalid("not accepted as it is: to", {"to": [complaint]})
