"""The rules of docs/guarantees.md on what the ledger tells: all, once, the truth, and in the end nothing open."""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf

from simulation.case import Line, instant
from simulation.history import Complaint, Execution, Told
from simulation.reasons import illegitimate
from simulation.starts import given_up

FINAL = {"succeeded", "failed", "timed_out", "canceled", "lost", "skipped"}
UNHEARD = 5.0
"""Seconds after an end in which a power cut may take it."""
RERUNS = 3
ROUNDING = 2.0


def complain(kind: str, row: Told, text: str) -> Complaint:
    """A complaint about what the ledger says."""
    return Complaint(
        kind=kind, job_id=row.job_id, tick=row.tick, text=f"{row.run_id} is told as {row.state}: {text}"
    )


def of_ledger(line: Line) -> Iterator[Complaint]:
    """All complaints about what is told of one copy of a job."""
    yield from _missing(line)
    yield from _untold(line)
    yield from _told_twice(line)
    for row in line.told:
        yield from _stray(line, row)
        yield from _unsettled(line, row)
        if row.state == "skipped":
            yield from _skipped(line, row)
        elif (execution := line.by_run.get(row.run_id)) is not None:
            yield from _as_it_was(line, row, execution)
        elif row.state in FINAL:
            yield from _unbegun(line, row)
    yield from _no_further_attempt(line)


def _missing(line: Line) -> Iterator[Complaint]:
    """Expected ticks of which nothing is known, though it was time."""
    for tick in line.order:
        if tick in line.by_tick or tick in line.told_of or not must_be_told(line, tick):
            continue
        yield Complaint(
            kind="missed",
            job_id=line.job,
            tick=datetime.fromtimestamp(tick, UTC),
            text=f"copy {line.copy}: it did not begin, and nothing tells of it",
        )


def must_be_told(line: Line, tick: int) -> bool:
    """Whether the ledger must have a tick by the end of the history."""
    if line.told_by(tick) > line.case.end or tick <= line.comes or line.window_end(tick) >= line.goes:
        return False
    for era in line.ticks[tick]:
        if not era.surely(tick):
            continue
        if era.ended_by is None or line.window_end(tick) <= era.until:
            return True
        # The end of the version came before the end of the window. It takes the tick along, and tells so.
        calm = not line.case.any_trouble.meet(era.begin, era.last) and not line.waits
        known = tick > era.certain + line.case.times.published
        if era.ended_by != "removed" and calm and known and not era.bare:
            return True
    return False


def _untold(line: Line) -> Iterator[Complaint]:
    told = {row.run_id for row in line.told}
    for each in line.begun:
        heard = line.case.any_trouble.after(instant(each.began), line.case.times.settled)
        if each.run_id not in told and heard <= line.case.end and not line.case.never_tells(each.node):
            yield Complaint(
                kind="untold",
                job_id=each.job_id,
                tick=each.tick,
                text=f"{each.run_id} began {each.began:%T} on {each.node}, and nothing tells of it",
            )


def _told_twice(line: Line) -> Iterator[Complaint]:
    said: set[tuple[str, str]] = set()
    for rows in line.told_of.values():
        attempts: dict[int, Told] = {}
        for row in rows:
            other = attempts.setdefault(row.attempt, row)
            if other is not row and (other.run_id, row.run_id) not in said:
                said.add((other.run_id, row.run_id))
                yield complain("mistold", row, f"{other.run_id} tells of the same tick, as {other.state}")


def _stray(line: Line, row: Told) -> Iterator[Complaint]:
    for tick in {row.tick, row.first_tick} - {None}:
        if int(instant(tick)) not in line.ticks and row.run_id not in line.by_run:
            yield complain("stray", row, f"nobody expected a tick at {tick:%FT%TZ}")


def _unsettled(line: Line, row: Told) -> Iterator[Complaint]:
    if row.state in FINAL or (row.tick is None and row.state == "queued"):
        return
    execution = line.by_run.get(row.run_id)
    if execution is not None:
        since = instant(execution.ended)
        heard = line.case.any_trouble.after(since, line.case.times.settled) if since < inf else inf
    elif row.tick is None:
        heard = line.case.any_trouble.after(instant(line.case.history.healed), line.case.times.settled)
    else:
        heard = max(line.told_by(int(instant(row.tick))), _next_attempt_told(line, row))
    if heard <= line.case.end:
        yield complain("unsettled", row, "nothing of it goes on any more")


def _next_attempt_told(line: Line, row: Told) -> float:
    """When the ledger had to have the attempt that follows the ones that began before this row's."""
    ends = [
        instant(each.ended)
        for each in line.by_tick.get(int(instant(row.tick)), ())
        if each.attempt < row.attempt
    ]
    if row.attempt == 1 or not ends:
        return -inf
    pause = max(version.retry_within for version in line.versions)
    return line.case.any_trouble.after(max(ends) + pause, line.case.times.settled)


def unheard(line: Line, tick: int, reason: str | None) -> bool:
    """Whether a tick is told as one that nobody knows of, and all that began for it was on nodes that are gone."""
    unvouched = reason is not None and reason.startswith("unvouched")
    return unvouched and all(line.case.never_tells(each.node) for each in line.by_tick.get(tick, ()))


def _skipped(line: Line, row: Told) -> Iterator[Complaint]:
    ticks = {int(instant(each)) for each in (row.tick, row.first_tick) if each is not None}
    known = not all(unheard(line, tick, row.reason) for tick in ticks)
    if row.run_id in line.by_run and known:
        yield complain("mistold", row, "it began")
    for tick in sorted(ticks):
        if line.by_tick.get(tick) and row.run_id not in line.by_run and known:
            yield complain("mistold", row, f"{line.by_tick[tick][0].run_id} began")
        elif tick in line.ticks and (why := illegitimate(line, tick, row.reason)):
            yield complain("mistold", row, why)


def _as_it_was(line: Line, row: Told, run: Execution) -> Iterator[Complaint]:
    if row.node is not None and row.node != run.node:
        yield complain("mistold", row, f"it was {run.node} that ran it, and not {row.node}")
    if row.state == "lost":
        if not _rightly_lost(line, run):
            yield complain("mistold", row, "its node is back, and knows better")
        return
    did_all = run.complete and run.succeeded
    if row.state == "succeeded" and not did_all:
        yield complain("mistold", row, "it did not succeed")
    if row.state == "failed" and did_all:
        yield complain("mistold", row, "it succeeded")
    if row.state in FINAL and run.ended is None:
        yield complain("mistold", row, "it still goes on")
    yield from _times(line, row, run)


def _rightly_lost(line: Line, run: Execution) -> bool:
    case, ended = line.case, instant(run.ended)
    trouble = case.trouble.get(run.node, ())
    if not run.complete and ended < inf:
        return any(
            instant(away.begin) <= ended + 1 <= instant(away.end) + case.times.settled for away in trouble
        )
    if ended == inf:
        return given_up(line, run, case.end)
    cut = any(away.what == "power" and 0 <= instant(away.begin) - ended <= UNHEARD for away in trouble)
    return cut or case.never_tells(run.node) or case.any_trouble.after(ended, case.times.settled) > case.end


def _times(line: Line, row: Told, run: Execution) -> Iterator[Complaint]:
    skew = line.case.shown_off(run.node, instant(run.began), line.noted(run))
    for word, told, true in (("begun", row.started_at, run.began), ("ended", row.ended_at, run.ended)):
        if told is None or true is None:
            continue
        unknown = word == "ended" and (not run.complete or _cut_off_untold(line, run))
        if abs(instant(told) - instant(true)) > skew + ROUNDING and not unknown:
            yield complain("mistold", row, f"it was {word} at {true:%T.%f}, and not at {told:%T.%f}")


def _cut_off_untold(line: Line, run: Execution) -> bool:
    """Whether its machine lost power when it had ended, and before anyone had heard of that."""
    power = [away for away in line.case.trouble.get(run.node, ()) if away.what == "power"]
    return any(instant(run.ended) <= instant(away.begin) <= line.noted(run) for away in power)


def _unbegun(line: Line, row: Told) -> Iterator[Complaint]:
    """The ledger tells of an end, and nothing began."""
    if row.state in ("succeeded", "timed_out"):
        yield complain("mistold", row, "it never began")
    if (
        row.state == "lost"
        and row.tick is not None
        and not line.case.any_trouble.meet(instant(row.tick) - 60, inf)
    ):
        yield complain("mistold", row, "nothing had happened that could lose it")


def _lost_at_first(line: Line, run: Execution) -> bool:
    """Whether it may have been given up while it went on, or before its end was heard, and the truth came late."""
    return given_up(line, run, instant(run.ended)) or given_up(line, run, line.case.end, ended=True)


def _no_further_attempt(line: Line) -> Iterator[Complaint]:
    """A failed run that should have been tried again, and was not."""
    if any(version.removed or not version.enabled for version in line.versions):
        return
    if any(away.what == "wiped" for every in line.case.trouble.values() for away in every):
        return  # attempts that waited are gone with their tree
    if line.goes < inf:
        return  # and so are those of a copy whose node was forgotten
    for row in line.told:
        if row.tick is None or row.state not in ("failed", "timed_out", "lost"):
            continue
        rows = line.told_of[int(instant(row.tick))]
        losses = sum(each.state == "lost" for each in rows if each.attempt < row.attempt)
        retries = min(version.retry_attempts for version in line.versions)
        rerun = all(version.on_node_loss == "rerun" for version in line.versions)
        due = rerun and losses < RERUNS if row.state == "lost" else row.attempt <= retries + losses * rerun
        if not due or any(each.attempt == row.attempt + 1 for each in rows):
            continue
        begun = next((each for each in line.begun if each.run_id == row.run_id), None)
        if row.state != "lost" and begun is not None and _lost_at_first(line, begun):
            continue
        ended = instant(row.ended_at) if row.ended_at is not None else line.case.end
        pause = max(version.retry_within for version in line.versions)
        if line.case.any_trouble.after(ended + pause, line.case.times.settled) <= line.case.end:
            yield complain("missed", row, f"attempt {row.attempt + 1} did not follow")
