"""The rules of docs/guarantees.md on what begins: once, only what was asked for, in its window, one at a time."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import inf

from simulation.case import OF_THE_LEDGER, STOPPING, Case, Line, instant, may_be_on
from simulation.eras import Era
from simulation.history import Away, Complaint, Execution
from simulation.spans import Spans

BESIDE = 100
"""How many runs of a job may go on at once with `allow`."""
ROUNDING = 0.01
STANDING_STILL = {"pause", "no_guard"}
"""What keeps even a guard from ending a run in time."""
OFF = {"power", "forgotten"}
"""Trouble after which nobody needs a guard."""
UNREACHING = {"cut", "cut_in", "cut_out", "stopped", "crash"}
"""Trouble that keeps a node from its lease, and lets its guard go on."""
NO_LOSS = {"clock", "disk_full", "drain"}
"""Trouble in which a node stays live."""


def complain(kind: str, each: Execution, text: str) -> Complaint:
    """A complaint about something that began."""
    return Complaint(
        kind=kind,
        job_id=each.job_id,
        tick=each.tick,
        text=f"{each.run_id}, begun {each.began:%T.%f} on {each.node}: {text}",
    )


def of_starts(line: Line) -> Iterator[Complaint]:
    """All complaints about what began of one copy of a job."""
    for each in line.begun:
        yield from _stray(line, each)
        yield from _windows(line, each)
    yield from _twice(line)
    yield from _attempts(line)
    yield from _overlaps(line)
    yield from _tokens(line)
    yield from _unstopped(line)
    yield from _moved_copy(line)


def of_copies(case: Case) -> Iterator[Complaint]:
    """Copies where there should be one, or two of them in one place."""
    whole: dict[tuple[int, object], list[Execution]] = defaultdict(list)
    for each in case.history.executions:
        if each.tick is not None:
            whole[each.job_id, each.tick].append(each)
    for (job, _), begun in whole.items():
        first = begun[0]
        one = all(version.copies == "1" for version in case.history.jobs.get(job, ()))
        for each in begun[1:]:
            if each.copy == first.copy:
                continue
            if one:
                yield complain("doubled", each, f"the job has one copy, and {first.run_id} began too")
        for each, other in pairwise(sorted(begun, key=lambda each: (each.node, each.copy))):
            if not one and each.node == other.node and each.copy != other.copy:
                yield complain("doubled", other, f"{each.run_id} began on the same node")


def _moved_copy(line: Line) -> Iterator[Complaint]:
    if all(version.copies == "all" for version in line.versions):
        for before, each in pairwise(line.begun):
            if before.node != each.node:
                yield complain("stray", each, f"this is the copy of {before.node}")


def _stray(line: Line, each: Execution) -> Iterator[Complaint]:
    began = instant(each.began)
    if each.tick is not None:
        if reason := _unexpected(line, each, began):
            yield complain("stray", each, reason)
    elif not any(not version.removed for version in line.in_force(began, began)):
        yield complain("stray", each, "there was no such job then")
    if not _may_be_on(line, each, began):
        yield complain("stray", each, "the job may not be on this node")
    if reason := _in_a_pause(line, each, began):
        yield complain("stray", each, reason)


def _unexpected(line: Line, each: Execution, began: float) -> str | None:
    eras = line.ticks.get(int(instant(each.tick)))
    if not eras:
        return "no schedule of the job named this tick when it counted"
    if each.attempt > 1 or began <= max(_claimed_by(line, era, int(instant(each.tick))) for era in eras):
        return None
    return f"the tick fell to an earlier version, which was {eras[-1].ended_by} long before"


def _claimed_by(line: Line, era: Era, tick: int) -> float:
    """When a tick of a former version must have been claimed and begun."""
    if era.ended_by is None:
        return inf
    times = line.case.times
    return line.trouble.after(max(era.last, tick), times.published + times.punctual)


def _may_be_on(line: Line, each: Execution, began: float) -> bool:
    nodes = line.case.history.nodes
    if not nodes:
        return True
    claimed = began - line.case.times.punctual
    if each.tick is not None and line.case.files(line.job, each.node):
        claimed = min(claimed, instant(each.tick))
    versions = line.in_force(claimed, began)
    return each.node in nodes and any(may_be_on(version, each.node, nodes[each.node]) for version in versions)


def _in_a_pause(line: Line, each: Execution, began: float) -> str | None:
    """Whether its node was paused, and known to be; or was when its tick fell due, which nothing else held up."""
    case = line.case
    held_up = Spans([*case.any_trouble.all, *case.files(line.job, each.node)])
    for begin, end in case.pauses({each.node}):
        known = case.any_trouble.after(begin, case.times.published)
        due = began if each.tick is None or each.attempt > 1 else instant(each.tick)
        claimed = known if due < began and due >= known else held_up.after(known, case.times.punctual)
        if claimed < began < end - ROUNDING:
            return f"the node had been paused for {began - begin:.1f} s"
        if known <= due < end <= began and not case.any_trouble.meet(due, began) and not line.moves:
            return "its tick fell due while the node was paused"
    return None


def _windows(line: Line, each: Execution) -> Iterator[Complaint]:
    """Early and late. Attempts but the first come when they come."""
    if each.tick is None or each.attempt > 1 or not (eras := line.ticks.get(int(instant(each.tick)))):
        return
    due, began = instant(each.tick), instant(each.began)
    skew = line.case.skew(each.node, min(due, began), max(due, began))
    if began < due - skew - ROUNDING:
        yield complain("early", each, f"{due - began:.3f} s before it was due")
    end = line.window_end(int(due)) + skew + 1
    if began > end:
        yield complain(
            "late", each, f"{began - due:.1f} s after it was due, and {began - end:.1f} s without a cause"
        )
    if began > _too_late(line, each, eras) + skew + 1:
        yield complain("late", each, f"{began - due:.1f} s after it was due: later than its max_lateness")


def _too_late(line: Line, each: Execution, eras: list[Era]) -> float:
    if any(era.one_shot for era in eras):
        return inf
    due = instant(each.tick)
    versions = line.in_force(due, instant(each.began))
    most = max([line.case.history.settings.on_time, *(version.max_lateness for version in versions)])
    return line.case.any_trouble.after(due + most, line.case.times.punctual)


def _twice(line: Line) -> Iterator[Complaint]:
    first: dict[object, Execution] = {}
    for each in line.begun:
        name = each.run_id if each.tick is None else (int(instant(each.tick)), each.attempt)
        if name in first:
            yield complain(
                "doubled", each, f"it had begun on {first[name].node} at {first[name].began:%T.%f}"
            )
        first.setdefault(name, each)


def _attempts(line: Line) -> Iterator[Complaint]:
    """Further attempts, each of which needs a reason in the one before."""
    for tick, begun in line.by_tick.items():
        attempts = {each.attempt: each for each in begun}
        told = {row.attempt: row.state for row in line.told_of.get(tick, ())}
        for number, each in attempts.items():
            if number > 1 and (reason := _undeserved(line, each, attempts.get(number - 1), told)):
                yield complain("doubled", each, reason)


def _undeserved(line: Line, each: Execution, before: Execution | None, told: dict[int, str]) -> str | None:
    """Why an attempt should not have begun; None: it should."""
    began = instant(each.began)
    versions = line.in_force(instant(each.tick), began)
    retries = max((version.retry_attempts for version in versions), default=0)
    rerun = any(version.on_node_loss == "rerun" for version in versions)
    state = told.get(each.attempt - 1)
    failed, lost = state in ("failed", "timed_out"), state == "lost"
    if before is not None:
        if instant(before.ended) > began and not given_up(line, before, began):
            return f"the attempt before it, on {before.node}, had not ended"
        unheard = state is None or (lost and before.complete and line.case.never_tells(before.node))
        failed = failed or (not before.succeeded and unheard)
        lost = lost or given_up(line, before, began, ended=True)
    losses = len(_losses(line, each, told)) if rerun else 0
    if failed and each.attempt <= 1 + retries + losses:
        return None
    if rerun and lost:
        return None
    return "no policy asks for another attempt after the one before"


def _losses(line: Line, each: Execution, told: dict[int, str]) -> set[int]:
    """The attempts before this one that are lost, or were until their node told how they had ended."""
    earlier = [one for one in line.by_tick[int(instant(each.tick))] if one.attempt < each.attempt]
    gone = {one.attempt for one in earlier if given_up(line, one, instant(each.began), ended=True)}
    return gone | {number for number, state in told.items() if state == "lost" and number < each.attempt}


def given_up(line: Line, run: Execution, by: float, *, ended: bool = False) -> bool:
    """Whether a run may rightly have been given up by then, though it still went on (or had ended, unheard).

    Whoever says `rerun` or `stop` has the guard end the run before that.
    """
    versions = line.in_force(instant(run.began), by)
    ended = ended and instant(run.ended) <= by
    acknowledged = instant(run.ended) + line.case.times.acknowledged
    if ended and not line.case.any_trouble.meet(instant(run.ended), acknowledged):
        return False
    guarded = not ended and any({each.on_node_loss, each.when_isolated} & STOPPING for each in versions)
    case = line.case
    known = case.history.nodes or case.trouble.keys()
    wiped = [away for name, all_of in case.trouble.items() if name not in known for away in all_of]
    away = [*case.trouble.get(run.node, ()), *(each for each in wiped if each.what == "wiped")]
    if guarded and not any(each.what in STANDING_STILL and instant(each.begin) <= by for each in away):
        away = [each for each in away if each.what in OFF]
    return any(_lost_by(case, each, run, by) for each in away)


def _lost_by(case: Case, away: Away, run: Execution, by: float) -> bool:
    begin, end = instant(away.begin), instant(away.end)
    if away.what == "forgotten":
        return begin <= by
    if away.what in NO_LOSS or away.what.startswith(OF_THE_LEDGER):
        return False
    if end + case.times.recovery < instant(run.began):
        return False
    if away.what == "power" and begin <= by:
        return True
    lease = case.history.settings.run_lease
    return begin + lease <= by + ROUNDING and end + case.times.recovery >= begin + lease


def _overlaps(line: Line) -> Iterator[Complaint]:
    going: list[Execution] = []
    for each in line.begun:
        began = instant(each.began)
        going = [other for other in going if instant(other.ended) > began + ROUNDING]
        others = [other for other in going if other.tick is None or other.tick != each.tick]
        others = [other for other in others if not given_up(line, other, began)]
        if others and not _beside(line, each, len(others)):
            yield complain("overlap", each, f"{others[0].run_id} still went on on {others[0].node}")
        going.append(each)


def _beside(line: Line, each: Execution, others: int) -> bool:
    began = instant(each.began)
    versions = line.in_force(began - line.case.times.punctual, began)
    asked_for = each.tick is None and each.attempt == 1 and not _waited_for_file(line, each)
    return not asked_for and others < BESIDE and any(one.concurrency == "allow" for one in versions)


def _waited_for_file(line: Line, each: Execution) -> bool:
    """Whether a run that begins now was claimed before, and its file has only just come."""
    came = (there for _, there in line.case.files(line.job, each.node))
    times = line.case.times
    return any(line.case.any_trouble.after(there, times.punctual) >= instant(each.began) for there in came)


def _tokens(line: Line) -> Iterator[Complaint]:
    for before, each in pairwise(line.begun):
        allow = any(version.concurrency == "allow" for version in line.in_force(-inf, instant(each.began)))
        older, newer = (before.token[:2], each.token[:2]) if allow else (before.token, each.token)
        if newer < older or (newer == older and not allow):
            yield complain(
                "token", each, f"its token {each.token} is not above {before.token} of {before.run_id}"
            )


def _unstopped(line: Line) -> Iterator[Complaint]:
    """Runs that the guard should have ended, since their node was cut off for too long."""
    lease = line.case.history.settings.run_lease
    for each in line.begun:
        versions = line.in_force(instant(each.began), instant(each.began))
        if not all({version.on_node_loss, version.when_isolated} & STOPPING for version in versions):
            continue
        trouble = line.case.trouble.get(each.node, [])
        still = [away for away in trouble if away.what in STANDING_STILL]
        for away in trouble:
            limit = max(instant(away.begin), instant(each.began)) + lease + 1
            if any(
                instant(other.begin) <= limit for other in still if instant(other.end) >= instant(each.began)
            ):
                continue
            if away.what in UNREACHING and limit < min(instant(away.end), instant(each.ended)):
                yield complain("unstopped", each, f"{away.node} was cut off for longer than run_lease")
