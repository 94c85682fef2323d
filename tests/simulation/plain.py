"""A plain check of a history: what is wrong whatever the policies are, and a little of what they say."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cronsim import CronSim
from simulation.history import Away, Complaint, Execution, History, Told, Version

CLOCKS = {"clock"}
GONE = {"pause", "cut", "cut_in", "crash"}
OFF = timedelta(seconds=5)
"""By so much a leader's clock may be off, with which it says when a run was lost."""


def check(history: History) -> list[Complaint]:
    """Everything that is not as it must be."""
    found = [*_of_starts(history), *_of_ends(history), *_of_lost(history)]
    for job_id, versions in history.jobs.items():
        found += _of_ticks(history, job_id, versions)
        found += _of_neighbours(history, job_id, versions)
    return found


def _wrong(kind: str, of: Execution | Told, text: str) -> Complaint:
    return Complaint(kind=kind, job_id=of.job_id, tick=of.tick, text=f"{of.run_id}: {text}")


def _of_starts(history: History) -> Iterator[Complaint]:
    begun: dict[str, Execution] = {}
    for one in history.executions:
        if one.run_id in begun:
            yield _wrong("doubled", one, f"began on {begun[one.run_id].node} and on {one.node}")
        begun[one.run_id] = one
        due = _due(history, one)
        if one.tick is not None and one.tick not in due:
            yield _wrong("stray", one, "no version of the job was due then")
        if one.tick is not None and one.began < one.tick and not _away(history, one.node, CLOCKS):
            yield _wrong("early", one, f"began at {one.began}")


def _of_ends(history: History) -> Iterator[Complaint]:
    told = {each.run_id: each for each in history.told}
    begun = {each.run_id: each for each in history.executions}
    for one in history.executions:
        state = told[one.run_id].state if one.run_id in told else "unknown"
        if one.complete and state not in ("succeeded", "failed"):
            yield _wrong("mistold", one, f"ran to its end and is {state}")
        if not one.complete and state not in ("lost", "failed", "timed_out", "canceled"):
            yield _wrong("mistold", one, f"was ended and is {state}")
    for each in history.told:
        if each.state in ("succeeded", "timed_out") and each.run_id not in begun:
            yield _wrong("mistold", each, f"is {each.state} and never began")


def _of_lost(history: History) -> Iterator[Complaint]:
    """A run is lost only where its node was gone; one that had begun, only with its machine, and not too soon."""
    begun = {each.run_id for each in history.executions}
    for each in history.told:
        if each.state != "lost" or each.node is None or history.jobs[each.job_id][-1].removed:
            continue
        until = history.end if each.ended_at is None else each.ended_at + OFF
        gone = [away for away in history.trouble if away.node == each.node and away.begin <= until]
        if not any(_is_gone(away) for away in gone):
            yield _wrong("mistold", each, f"is lost, and {each.node} was never gone: {each.reason}")
        elif each.run_id in begun and not any(_may_be_lost(history, away, until) for away in gone):
            yield _wrong("mistold", each, f"is lost at {each.ended_at}, too soon: {each.reason}")


def _is_gone(away: Away) -> bool:
    """Whether others may have taken the node for dead."""
    return away.what in ("power", "expired") or (away.what in GONE and away.end != away.begin)


def _may_be_lost(history: History, away: Away, now: datetime) -> bool:
    """By now: its machine was started again, or it has been gone for as long as runs are waited for."""
    back = away.what == "power" and away.end is not None and away.end <= now
    return back or away.begin + timedelta(seconds=history.settings.run_lease) <= now


def _of_ticks(history: History, job_id: int, versions: tuple[Version, ...]) -> Iterator[Complaint]:
    """Every tick is told of."""
    if versions[-1].removed:
        return
    spans = [(each.first_tick, each.tick) for each in history.told if each.job_id == job_id]
    until = history.end - timedelta(seconds=10)
    for tick in sorted(_expected(versions, until)):
        if not any(first is not None and last is not None and first <= tick <= last for first, last in spans):
            yield Complaint(kind="untold", job_id=job_id, tick=tick, text="nothing is known of it")


def _of_neighbours(history: History, job_id: int, versions: tuple[Version, ...]) -> Iterator[Complaint]:
    """Tokens grow; and where runs may not go on side by side they do not, as long as that can be known."""
    of_job = [each for each in history.executions if each.job_id == job_id]
    of_job.sort(key=lambda each: (each.began, each.token))
    for one, other in pairwise(of_job):
        if other.token < one.token:
            yield _wrong("token", other, f"has token {other.token} after {one.token} of {one.run_id}")
    if any(each.concurrency == "allow" for each in versions):
        return
    last: dict[str, Execution] = defaultdict()
    for one in of_job:
        for before in last.values():
            ended = history.end if before.ended is None else before.ended
            if ended > one.began and not _given_up(history, before, one.began):
                yield _wrong(
                    "overlap", one, f"began on {one.node} while {before.run_id} went on on {before.node}"
                )
        last[one.run_id] = one


def _given_up(history: History, one: Execution, now: datetime) -> bool:
    """Whether its node had been away for long enough for it to be lost."""
    wait = timedelta(seconds=history.settings.run_lease)
    return any(
        away.begin + wait <= now and (away.end is None or away.end > away.begin + wait)
        for away in history.trouble
        if away.node == one.node
    )


def _away(history: History, node: str, words: set[str]) -> bool:
    return any(away.node == node and away.what in words for away in history.trouble)


def _due(history: History, one: Execution) -> set[datetime]:
    """The ticks of all versions: that one counts no more, a node may hear of late."""
    return {tick for version in history.jobs[one.job_id] for tick in _ticks(version, history.end)}


def _expected(versions: tuple[Version, ...], until: datetime) -> set[datetime]:
    """The ticks of all versions, each for as long as it counted."""
    found = set(_ticks(versions[-1], until))
    for version, following in pairwise(versions):
        if not _is_forgotten(version, following):
            found |= set(_ticks(version, min(following.since, until)))
    return found


def _is_forgotten(version: Version, following: Version) -> bool:
    """What a job was that waits for its node is not known any more once it is changed: nothing tells of it."""
    paused = version.enabled and not following.enabled
    waited = bool(version.requires) or version.node is not None
    return waited and (paused or version.effective_from != following.effective_from)


def _ticks(version: Version, end: datetime) -> Iterator[datetime]:
    if not version.enabled or version.removed:
        return
    if version.at is not None:
        tick = max(version.at, version.effective_from)
        if tick < end:
            yield tick
        return
    if version.schedule is None:
        return
    begin = max(version.since, version.effective_from)
    for tick in CronSim(version.schedule, begin - timedelta(microseconds=1)):
        if tick >= end:
            return
        yield tick.astimezone(UTC)
