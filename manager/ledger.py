"""The front desk for the ledger: what became of a job's ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common.errors import Invalid
from cronkeeper.common.expected import expected, periods
from cronkeeper.common.ledger import Entry, Rules, Span, Summary, Window, ledger, summary
from cronkeeper.common.store import restored, schedules, ticks
from cronkeeper.manager.desk import Desk

MOST = 10_000
"""Ticks in one answer."""
COPY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of the ticks of a window. `known_from`: of what was due before that, nothing is known."""

    window: Window
    known_from: datetime | None
    summary: Summary
    ticks: Sequence[Entry]
    unvouched: Sequence[Span] = ()
    """The times up to its end of which only a part is known, and that are not over before its begin."""


def of_job(desk: Desk, job_id: int, window: Window, rules: Rules) -> Ledger:
    """The ledger of a job: the ticks in the window that had fallen due by its `now`.

    Raises:
        NotFound: there is no such job.
        Invalid: more ticks lie in the window than one answer holds.
        Unavailable: SQL does not answer.
    """

    def work(connection: Connection) -> Ledger:
        job = schedules.dated(connection, job_id)
        times = periods(job, schedules.past(connection, [job_id]).get(job_id, ()))
        due = list(islice(expected(times, window.begin, window.end), MOST + 1))
        if len(due) > MOST:
            complaint = f"more than {MOST:,} ticks fell due until then; accepted: up to {due[-1][0]:%FT%TZ}"
            raise Invalid("not accepted as it is: to", {"to": [complaint]})
        runs = ticks.told(connection, job_id, COPY, window.begin, window.end)
        unvouched = restored.spans(connection)
        entries = ledger(due, runs, window, rules, job.forgotten_tick, unvouched)
        known_from = times[0].effective_from if times else None
        inside = [span for span in unvouched if span.since < window.end and span.until > window.begin]
        counted = summary(entries)
        return Ledger(window=window, known_from=known_from, summary=counted, ticks=entries, unvouched=inside)

    return desk.store.transaction(work)
