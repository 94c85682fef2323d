"""What becomes of a claim, pure: which ticks are claimed or skipped, and what may leave it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronkeeper.common.attempts import call_off
from cronkeeper.common.model import (
    CatchUp,
    Claim,
    Concurrency,
    OnNodeLoss,
    Outcome,
    RunState,
    Skip,
    SkipReason,
    Spec,
    StartedBy,
    Unfinished,
    replace,
    tick_run_id,
)
from cronkeeper.common.schedule import Due, due_ticks, next_tick

MAX_ENDED = 300
"""Ended ticks, and skips, that a claim lists while the API is away: the tree's nodes are small."""

MAX_REASON = 200
"""Bytes of each reason there: SQL has the whole of it, from the node itself."""

MAX_BESIDE = 100
"""How many runs of one job may go on at once where it allows that: a claim lists them all."""


@dataclass(frozen=True, slots=True)
class Me:
    """Whose claims these are."""

    node: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a job's ticks: when, what brought it about, and how many runs may be started by it."""

    now: datetime
    started_by: StartedBy
    places: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The claim as it is to be, and the runs in it that are to be started once it is.

    A tick that `waits` lacks nothing but a place. The runs `in_the_way` are to be ended for the tick that is to
    replace them.
    """

    claim: Claim
    start: tuple[Unfinished, ...] = ()
    waits: datetime | None = None
    in_the_way: tuple[str, ...] = ()
    replaced_by: datetime | None = None


def busy(claim: Claim) -> Unfinished | None:
    """The run that `forbid` waits for, wherever in the fleet it runs; None where the job is free."""
    return next((run for run in claim.unfinished if run.outcome is None), None)


def abroad(claim: Claim, me: Me) -> bool:
    """Whether a run of another node may still go on."""
    return any(run.goes_on and run.node != me.node for run in claim.unfinished)


def reruns_of(claim: Claim, run_id: str) -> int:
    """How many attempts up to that of the run were made since a node was lost."""
    return next((run.reruns for run in claim.unfinished if run.run_id == run_id), 0)


def takes_turns(spec: Spec) -> bool:
    """Whether a tick that may not run beside another waits for it, and is not skipped."""
    return spec.concurrency is Concurrency.REPLACE or spec.catch_up is CatchUp.ALL


def waits_abroad(spec: Spec) -> bool:
    """Whether something may start here when a run of another node ends: a tick that waits for it, or an attempt."""
    again = spec.retry.attempts > 0 or spec.on_node_loss is OnNodeLoss.RERUN
    return again or takes_turns(spec)


def claim_ticks(spec: Spec, claim: Claim, look: Look, me: Me, on_time: timedelta) -> Decision:
    """Claim what is due and has a place, and skip what may not run; what only has to wait stays due."""
    room = max(0, _room(spec, claim))
    due = due_ticks(spec, claim.watermark, look.now, on_time, max(0, min(room, look.places)) + 1)
    if spec.concurrency is Concurrency.REPLACE and due.ticks:
        due = _newest(due)
        claim = call_off(claim, f"replaced by the tick of {due.ticks[-1]:%FT%TZ}", look.now)
        room = max(0, _room(spec, claim))
    start: list[Unfinished] = []
    skips = list(due.skips)
    waits = blocked = None
    beside: list[datetime] = []
    for tick in due.ticks:
        if len(start) >= room and takes_turns(spec):
            blocked = tick
            break
        if len(start) >= room:
            beside.append(tick)
            continue
        if len(start) >= look.places:
            waits = tick
            break
        start.append(_run(tick_run_id(spec.job_id, spec.copy, tick, 1), tick, look.started_by, me))
    if beside:
        skips.append(Skip(first=beside[0], last=beside[-1], reason=SkipReason.STILL_RUNNING))
    decision = Decision(_dealt_with(claim, start, skips), tuple(start), waits)
    if blocked is None or spec.concurrency is not Concurrency.REPLACE:
        return decision
    return replace(decision, in_the_way=_going_on_here(claim, me), replaced_by=blocked)


def _dealt_with(claim: Claim, start: list[Unfinished], skips: list[Skip]) -> Claim:
    ticks = [*(run.tick for run in start if run.tick is not None), *(skip.last for skip in skips)]
    if not ticks:
        return claim
    return replace(
        claim,
        watermark=max(ticks),
        unfinished=(*claim.unfinished, *start),
        skips=(*claim.skips, *skips),
    )


def _newest(due: Due) -> Due:
    """Of ticks that would replace each other, the one that would be left."""
    if len(due.ticks) < 2:
        return due
    *others, last = due.ticks
    passed_over = Skip(first=others[0], last=others[-1], reason=SkipReason.COALESCED)
    return Due((last,), (*due.skips, passed_over))


def _going_on_here(claim: Claim, me: Me) -> tuple[str, ...]:
    return tuple(run.run_id for run in claim.unfinished if run.goes_on and run.node == me.node)


def claim_by_hand(claim: Claim, run_id: str, me: Me, now: datetime) -> Decision:
    """Claim a run that was asked for; where the job is busy it is skipped at once, and says so."""
    if any(run.run_id == run_id for run in claim.unfinished):
        return Decision(claim)
    run = _run(run_id, None, StartedBy.HAND, me)
    other = busy(claim)
    if other is None:
        return Decision(replace(claim, unfinished=(*claim.unfinished, run)), (run,))
    outcome = Outcome(
        state=RunState.SKIPPED,
        exit_code=None,
        reason=f"{SkipReason.STILL_RUNNING}: {other.run_id} on {other.node}",
        started_at=None,
        ended_at=now,
    )
    return Decision(replace(claim, unfinished=(*claim.unfinished, replace(run, outcome=outcome))))


def room_for_requests(claim: Claim) -> int:
    """How many more runs by hand it takes: those whose ends the API does not take in stay in it."""
    return max(0, MAX_ENDED - sum(run.outcome is not None and run.tick is None for run in claim.unfinished))


def note_outcomes(claim: Claim, outcomes: Mapping[str, Outcome]) -> Claim:
    """The claim with the ends of its runs in it."""
    if not any(run.run_id in outcomes and run.outcome is None for run in claim.unfinished):
        return claim
    unfinished = tuple(
        replace(run, outcome=_short(outcomes[run.run_id]))
        if run.outcome is None and run.run_id in outcomes
        else run
        for run in claim.unfinished
    )
    return replace(claim, unfinished=unfinished)


def _short(outcome: Outcome) -> Outcome:
    if outcome.reason is None or len(outcome.reason.encode()) <= MAX_REASON:
        return outcome
    return replace(outcome, reason=outcome.reason.encode()[:MAX_REASON].decode(errors="ignore"))


def prune(spec: Spec, claim: Claim, acknowledged: Collection[str], me: Me) -> Claim:
    """The claim without the runs and skips whose end the API has acknowledged.

    What may go on elsewhere stays: an end that was reported here is then not that run's.
    """
    unfinished = tuple(
        run
        for run in claim.unfinished
        if run.run_id not in acknowledged or (run.outcome is None and run.node != me.node)
    )
    skips = tuple(skip for skip in claim.skips if skip_id(spec, skip) not in acknowledged)
    if len(unfinished) == len(claim.unfinished) and len(skips) == len(claim.skips):
        return claim
    return replace(claim, unfinished=unfinished, skips=skips)


def bounded(spec: Spec, claim: Claim) -> Claim:
    """The claim without the oldest of too many ends: they are in the run folders too, and reported from there.

    Runs by hand stay (see `room_for_requests`), since the leader sends what neither the claim nor SQL knows of
    again. Skips have no folder: the oldest become one that tells of them all.
    """
    ended = [run for run in claim.unfinished if run.outcome is not None and run.tick is not None]
    if len(ended) <= MAX_ENDED and len(claim.skips) <= MAX_ENDED:
        return claim
    left_out = {run.run_id for run in ended[:-MAX_ENDED]}
    unfinished = tuple(run for run in claim.unfinished if run.run_id not in left_out)
    return replace(claim, unfinished=unfinished, skips=_folded(spec, claim.skips))


def _folded(spec: Spec, skips: tuple[Skip, ...]) -> tuple[Skip, ...]:
    """So few of them that they may stay; one is lost only where a tick that was not skipped lies behind it."""
    oldest: list[Skip] = []
    count = max(0, len(skips) - MAX_ENDED) + 1
    for skip in skips[:count]:
        before = oldest[-1] if oldest else None
        follows = before is not None and next_tick(spec, before.last) == skip.first
        if before is not None and follows and before.reason is skip.reason:
            oldest[-1] = replace(before, last=skip.last)
        else:
            oldest.append(skip)
    return (*oldest, *skips[count:])[-MAX_ENDED:]


def skip_id(spec: Spec, skip: Skip) -> str:
    """The id that a skip is reported under: that of the run which its last tick would have had."""
    return tick_run_id(spec.job_id, spec.copy, skip.last, 1)


def _room(spec: Spec, claim: Claim) -> int:
    """How many ticks may be started."""
    limit = MAX_BESIDE if spec.concurrency is Concurrency.ALLOW else 1
    return limit - sum(run.outcome is None for run in claim.unfinished)


def _run(run_id: str, tick: datetime | None, started_by: StartedBy, me: Me) -> Unfinished:
    return Unfinished(
        run_id=run_id, tick=tick, attempt=1, node=me.node, boot_id=me.boot_id, started_by=started_by
    )
