"""Runs that are told as lost: whether they may be, and as soon as they were."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from simulation.history import Away, Complaint, History, Told

GONE = {"pause", "stopped", "no_guard", "cut", "cut_in", "crash"}
ISOLATED = "stopped, since its node"
"""Its node had not reached ZooKeeper for long: others need not have taken it for dead."""
UNREACHING = {*GONE, "cut_out", "slow", "expired", "power"}
FAR = datetime(9000, 1, 1, tzinfo=UTC)
OFF = timedelta(seconds=5)
"""By so much a leader's clock may be off, with which it says when a run was lost."""


def of_lost(history: History) -> Iterator[Complaint]:
    """A run is lost only where its node was gone, and not before it was claimed.

    One that had begun is lost only with its machine, and not too soon.
    """
    begun = {each.run_id: each.began for each in history.executions}
    recovery = timedelta(seconds=2 * history.settings.session_timeout + 15)
    for each in history.told:
        if each.state != "lost" or each.node is None or history.jobs[each.job_id][-1].removed:
            continue
        until = history.end if each.ended_at is None else each.ended_at + OFF
        claimed = begun.get(each.run_id, each.tick)
        gone = [away for away in history.trouble if away.node == each.node and away.begin <= until]
        gone = [away for away in gone if claimed is None or _over(away) + recovery >= claimed]
        if (each.reason or "").startswith(ISOLATED):
            if not any(away.what in UNREACHING for away in gone):
                yield _wrong(each, f"is lost, and {each.node} was never cut off: {each.reason}")
            continue
        if not any(_is_gone(away) for away in gone):
            yield _wrong(each, f"is lost, and {each.node} was never gone: {each.reason}")
        elif each.run_id in begun and not any(_may_be_lost(history, away, until) for away in gone):
            yield _wrong(each, f"is lost at {each.ended_at}, too soon: {each.reason}")


def _over(away: Away) -> datetime:
    return FAR if away.end is None else away.end


def _is_gone(away: Away) -> bool:
    """Whether others may have taken the node for dead."""
    return away.what in ("power", "expired") or (away.what in GONE and away.end != away.begin)


def _may_be_lost(history: History, away: Away, now: datetime) -> bool:
    """By now: its machine was started again, or it has been gone for as long as runs are waited for."""
    back = away.what == "power" and away.end is not None and away.end <= now
    return back or away.begin + timedelta(seconds=history.settings.run_lease) <= now


def _wrong(of: Told, text: str) -> Complaint:
    return Complaint(kind="mistold", job_id=of.job_id, tick=of.tick, text=f"{of.run_id}: {text}")
