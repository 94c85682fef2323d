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
"""By so much the clock may be off with which a leader or a node says when a run was lost."""


def of_lost(history: History) -> Iterator[Complaint]:
    """A run is lost only where its node was gone, and not before it was claimed.

    One that had begun is lost only with its machine, and not too soon.
    """
    begun = {each.run_id: each.began for each in history.executions}
    recovery = timedelta(seconds=2 * history.settings.session_timeout + 15)
    for each in history.told:
        if each.state != "lost" or each.node is None or history.jobs[each.job_id][-1].removed:
            continue
        off = (away.off for away in history.trouble if away.node == each.node)
        until = FAR if each.ended_at is None else each.ended_at + OFF + timedelta(seconds=max(off, default=0))
        claimed = begun.get(each.run_id, each.tick)
        gone = [away for away in history.trouble if away.node == each.node and away.begin <= until]
        gone = [away for away in gone if claimed is None or _over(away) + recovery >= claimed]
        if (each.reason or "").startswith(ISOLATED):
            if not any(away.what in UNREACHING for away in gone):
                yield _wrong(each, f"is lost, and {each.node} was never cut off: {each.reason}")
            continue
        if not _was_gone(gone, history.settings.session_timeout):
            yield _wrong(each, f"is lost, and {each.node} was never gone: {each.reason}")
        elif each.run_id in begun and not any(_may_be_lost(history, away, until) for away in gone):
            yield _wrong(each, f"is lost at {each.ended_at}, too soon: {each.reason}")


def _over(away: Away) -> datetime:
    return FAR if away.end is None else away.end


def _was_gone(trouble: list[Away], session_timeout: float) -> bool:
    """Whether others may have taken the node for dead: its lease was over, in one go or bit by bit."""
    if any(away.what in ("power", "expired", "forgotten") for away in trouble):
        return True
    silent = sum((_over(away) - away.begin for away in trouble if away.what in GONE), timedelta(0))
    return silent >= timedelta(seconds=session_timeout * 2 / 3)


def _may_be_lost(history: History, away: Away, now: datetime) -> bool:
    """By now: its machine was started again, or it has been gone for as long as runs are waited for."""
    if away.what == "forgotten":
        return True
    back = away.what == "power" and away.end is not None and away.end <= now
    return back or away.begin + timedelta(seconds=history.settings.run_lease) <= now


def _wrong(of: Told, text: str) -> Complaint:
    return Complaint(kind="mistold", job_id=of.job_id, tick=of.tick, text=f"{of.run_id}: {text}")
