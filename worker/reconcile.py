"""Brings a run in a claim that was just read together with what the node knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common.model import Outcome, Report, RunState, Unfinished
from cronkeeper.worker import reports
from cronkeeper.worker.assignment import Held
from cronkeeper.worker.journal import Entry, Journal


@dataclass(frozen=True, slots=True)
class Found:
    """What is to follow: at most one of `ended` and `report` is there."""

    ended: Entry | None = None
    """A run of ours whose end the claim knows and the folder does not: it failed before it began."""
    report: Report | None = None
    gone: Outcome | None = None
    """The end of a run of ours that has no folder here."""


def reconcile(
    journal: Journal, held: Held, run: Unfinished, node: str, now: datetime, past: Mapping[str, Outcome]
) -> Found:
    """Look at one unfinished run in a claim of `node`; one of ours that waits may start from now on.

    `past` has the ends of runs that were let go of here, as their job was elsewhere.
    """
    if run.waits:
        return Found()
    mine = run.node == node
    entry = journal.entries.get(run.run_id) if mine else None
    if entry is not None:
        if run.outcome is not None:
            return Found(ended=entry if journal.learn(entry, run.outcome) else None)
        if entry.outcome is None and not entry.running:
            journal.clear(run.run_id)
            if held.spec.paused:
                journal.call_off(run.run_id, "the job was paused before its file came")
        return Found()
    if run.outcome is not None:
        return Found(report=reports.of_claimed(held, run, run.outcome))
    if not mine:
        return Found()
    end = past.get(run.run_id)
    if end is None:
        reason = "the node knows nothing of it any more: its run folder is gone"
        end = Outcome(state=RunState.LOST, exit_code=None, reason=reason, started_at=None, ended_at=now)
    return Found(report=reports.of_claimed(held, run, end), gone=end)
