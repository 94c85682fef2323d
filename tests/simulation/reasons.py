"""When a tick may be skipped, by docs/guarantees.md, "Skipped"."""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from math import inf

from simulation.case import Line, instant

BESIDE = 100
SLACK = 1.0
"""Seconds that looks and clocks may differ by."""


def illegitimate(line: Line, tick: int, reason: str | None) -> str | None:
    """Why a tick may not have been skipped for this reason; None: it may."""
    word = re.match(r"\w*", reason or "")
    rule = RULES.get(word[0] if word is not None else "")
    return rule(line, tick) if rule is not None else f"{reason!r} is no reason to skip a tick"


def _still_running(line: Line, tick: int) -> str | None:
    end = line.window_end(tick) + SLACK
    versions = line.in_force(tick - SLACK, end)
    others = [
        span for about, span in line.busy if about != tick and span[0] <= end and span[1] >= tick - SLACK
    ]
    if any(version.concurrency == "forbid" and version.catch_up == "latest" for version in versions):
        return None if others else "no run of its job was unfinished in its window"
    if any(version.concurrency == "allow" for version in versions):
        return None if len(others) >= BESIDE else f"{len(others)} others may not keep it"
    return "by its policies it waits for the others"


def _coalesced(line: Line, tick: int) -> str | None:
    end = line.window_end(tick) + SLACK + line.case.skew(None, tick, inf)
    versions = line.in_force(tick - SLACK, end)
    if all(version.catch_up == "all" for version in versions):
        return "with catch_up: all no tick is passed over"
    later = line.order[bisect_right(line.order, tick) :]
    if not later or later[0] > end:
        return "no later tick was due in its window"
    if any(version.concurrency == "replace" for version in versions):
        return None
    hindered = end - line.case.times.punctual - tick
    on_time = line.case.history.settings.on_time
    return None if end >= tick + on_time else f"it was hindered for {hindered:.0f} s only"


def _too_late(line: Line, tick: int) -> str | None:
    if any(era.one_shot for era in line.ticks[tick]):
        return "a one-shot is never too late"
    end = line.window_end(tick) + SLACK + line.case.skew(None, tick, inf)
    least = min((version.max_lateness for version in line.in_force(tick, end)), default=0.0)
    limit = max(least, line.case.history.settings.on_time)
    return None if end >= tick + limit else f"it was not hindered for {limit:.0f} s"


def _edited(line: Line, tick: int) -> str | None:
    return _ended(line, tick, "edited")


def _paused(line: Line, tick: int) -> str | None:
    end = line.window_end(tick) + SLACK
    for begin, until in line.case.pauses(line.nodes_of(tick)):
        # A node that hears of a resumption late leaves alone what is due then, for as long as that is on time.
        heard = line.case.any_trouble.after(until, line.case.times.published)
        if begin - SLACK <= end and tick < max(until, heard - line.case.history.settings.on_time + SLACK):
            return None
    return _ended(line, tick, "paused")


def _ended(line: Line, tick: int, how: str) -> str | None:
    end = line.window_end(tick) + SLACK
    ends = [era for era in line.ticks[tick] if era.ended_by is not None and era.until - SLACK <= end]
    if how == "edited" and (ends or _overtaken(line, tick)):
        return None
    return None if any(era.ended_by == how for era in ends) else f"it was not {how} in its window"


def _overtaken(line: Line, tick: int) -> bool:
    """Whether a later tick of the schedule before was dealt with, as the edit was not published yet."""
    for before, era in pairwise(line.eras):
        known = line.case.any_trouble.after(era.certain, line.case.times.published)
        eras = line.ticks[tick]
        if era not in eras or before in eras or before.ended_by != "edited" or tick > known:
            continue
        later = (each for each in line.order if tick < each <= known and before in line.ticks[each])
        if any(each in line.by_tick or each in line.told_of for each in later):
            return True
    return False


def _unvouched(line: Line, tick: int) -> str | None:
    """Ticks that may have begun unheard: the tree is lost, or the node forgotten, that would have told of them."""
    waits = (
        line.case.times.recovery + line.case.history.settings.run_lease
    )  # for the word of a node that is gone
    heard = line.window_end(tick) + line.case.times.settled
    lost = [away for every in line.case.trouble.values() for away in every if away.what == "wiped"]
    if any(instant(away.begin) <= heard and tick <= instant(away.end) + waits for away in lost):
        return None
    alone = {version.node for version in line.versions if version.when_isolated == "run"} - {None}
    forgotten = [
        each for node in alone for each in line.case.trouble.get(node, ()) if each.what == "forgotten"
    ]
    if any(
        tick <= line.case.any_trouble.after(instant(each.begin), line.case.times.published)
        for each in forgotten
    ):
        return None
    return "no tree was lost about then, and no node forgotten that may have begun it alone"


RULES: dict[str, Callable[[Line, int], str | None]] = {
    "still_running": _still_running,
    "coalesced": _coalesced,
    "too_late": _too_late,
    "edited": _edited,
    "paused": _paused,
    "unvouched": _unvouched,
}
"""By the first word of what the ledger gives as a reason."""
