"""Whether what people are shown agrees with what ran: the ledger of each tick, and the status of each job."""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf

from simulation.case import Case, Line, instant
from simulation.history import Complaint, Shown, Told
from simulation.telling import must_be_told, unheard

ROUNDING = 2.0
BAD = {"failed", "timed_out", "lost"}
DECIDING = {"succeeded", *BAD}
"""Ends of runs that decide the status of a job."""


def of_shown(line: Line) -> Iterator[Complaint]:
    """All complaints about the ledger of one copy of a job."""
    shown = {int(instant(each.tick)): each for each in line.shown}
    for tick in line.order:
        if tick not in shown and must_be_told(line, tick):
            yield _complain("missed", line, tick, "the ledger does not have it")
    for tick, each in shown.items():
        if (why := _wrong(line, tick, each)) is not None:
            yield _complain("mistold", line, tick, f"is {each.result} in the ledger, and {why}")


def _complain(kind: str, line: Line, tick: int, text: str) -> Complaint:
    due = datetime.fromtimestamp(tick, UTC)
    return Complaint(kind=kind, job_id=line.job, tick=due, text=f"the tick of {due:%T} {text}")


def _wrong(line: Line, tick: int, each: Shown) -> str | None:
    if each.expected and tick not in line.ticks:
        return "nobody expected it"
    if each.result in ("ran", "late"):
        return _how_late(line, tick, each)
    begun = line.by_tick.get(tick, ())
    states = {row.state for row in line.told_of.get(tick, ()) if row.state != "skipped"}
    if each.result == "lost":
        return None if "lost" in states else "no run of it is"
    if each.result == "skipped":
        unknown = any(unheard(line, tick, row.reason) for row in line.told_of.get(tick, ()))
        return f"{begun[0].run_id} began" if begun and not unknown else None
    if each.result == "open":
        going_on = any(row.ended is None for row in begun) or line.told_by(tick) > line.case.end
        return None if going_on else "nothing of it goes on"
    return "the history is whole"


def _how_late(line: Line, tick: int, each: Shown) -> str | None:
    """Compared with each attempt: by which of them it counts is another matter."""
    begun = line.by_tick.get(tick, ())
    if not begun:
        return "it never began"
    late = [max(0.0, instant(run.began) - tick) for run in begun]
    off = max(line.case.shown_off(run.node, tick, line.noted(run)) for run in begun) + ROUNDING
    if each.lateness is None or min(abs(each.lateness - true) for true in late) > off:
        return f"it began {late} s after it was due, and not {each.lateness} s"
    if each.result == "ran" and min(late) > line.case.history.settings.on_time + off:
        return f"it began {min(late):.1f} s after it was due"
    if each.result == "late" and max(late) < line.case.times.punctual - off:
        return f"it began {max(late):.1f} s after it was due"
    return None


def of_statuses(case: Case) -> Iterator[Complaint]:
    """All complaints about what the status of each job is."""
    for job, status in case.history.statuses.items():
        lines = [line for line in case.lines if line.job == job and line.goes == inf]
        wanted = _status(case, job, [line.told for line in lines])
        if wanted is not None and status not in wanted:
            text = f"its status is {status}, and should be {' or '.join(sorted(wanted))}"
            yield Complaint(kind="mistold", job_id=job, tick=None, text=text)


def _status(case: Case, job: int, copies: list[list[Told]]) -> set[str] | None:
    """None where a run by hand, of which it is not known when it was asked for, may have decided it."""
    last = case.history.jobs[job][-1]
    if last.removed:
        return {"finished"}
    ended = [[row for row in rows if row.state in DECIDING] for rows in copies]
    if any(row.tick is None for rows in ended for row in rows):
        return None
    newest = [max(rows, key=lambda row: (instant(row.tick), row.attempt)) for rows in ended if rows]
    if any(row.state in BAD for row in newest):
        return {"error"}
    return {"scheduled", "finished"} if last.schedule is None else {"scheduled"}
