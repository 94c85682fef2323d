"""Whether a fleet kept its promises: docs/guarantees.md, read as rules over what happened, rule by rule.

The model is that of Jepsen's test of Chronos: each expected tick is a target with a window, and needs a run of its
own in it. Runs name their ticks here, so the matching is plain; windows are looked at all the same. To that come
the things which that test lets pass: duplicates, strays, overlaps, and what the ledger says. Nothing of the product
is imported, here or in what this imports.
"""

from collections.abc import Iterator

from simulation.case import Case, Line, may_be_on
from simulation.history import Complaint, History
from simulation.starts import of_copies, of_starts
from simulation.telling import of_ledger
from simulation.verdict import of_shown, of_statuses


def check(history: History) -> list[Complaint]:
    """Every promise that was broken; in the order of jobs, copies and rules."""
    case = Case(history)
    return [*_of_lines(case), *of_copies(case), *_of_missing_copies(case), *of_statuses(case)]


def _of_lines(case: Case) -> Iterator[Complaint]:
    for line in case.lines:
        yield from of_starts(line)
        yield from of_ledger(line)
        if case.history.shown is not None:
            yield from of_shown(line)


def _of_missing_copies(case: Case) -> Iterator[Complaint]:
    """Nodes that should have had a copy of a job, of which nothing was ever heard."""
    for job, versions in case.history.jobs.items():
        lines = [line for line in case.lines if line.job == job]
        if len(versions) != 1 or versions[0].copies != "all" or not _was_due(lines[0]):
            continue
        nodes = {node for node, labels in case.history.nodes.items() if may_be_on(versions[0], node, labels)}
        seen = {each.node for line in lines for each in line.begun}
        seen |= {each.node for line in lines for each in line.told if each.node is not None}
        forgotten = {name for name, away in case.trouble.items() if any(e.what == "forgotten" for e in away)}
        for node in sorted(nodes - seen - forgotten):
            yield Complaint(kind="missed", job_id=job, tick=None, text=f"{node} has no copy of it")


def _was_due(line: Line) -> bool:
    return any(line.told_by(tick) <= line.case.end for tick in line.order)
