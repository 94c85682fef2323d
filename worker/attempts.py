"""Attempts that follow others: they wait in the claim until they are due, and are claimed as ticks are. Pure."""

from collections.abc import Mapping
from datetime import datetime

from cronkeeper.common.attempts import is_due, next_attempt
from cronkeeper.common.model import Claim, Outcome, Spec, Unfinished, replace
from cronkeeper.worker.claims import Decision, Look, Me, note_outcomes


def note_ends(spec: Spec, claim: Claim, outcomes: Mapping[str, Outcome]) -> Claim:
    """The claim with the ends of its runs in it, and with the attempts that follow them.

    An attempt comes in with the end that it follows, in the one write which no run passes by: so it comes in once.
    Of a paused job none does: a pause calls off what waits, and this would wait until it is over.
    """
    ended = [run for run in claim.unfinished if run.outcome is None and run.run_id in outcomes]
    following = [next_attempt(spec, run, outcomes[run.run_id]) for run in ended if not spec.paused]
    noted = note_outcomes(claim, outcomes)
    new = tuple(run for run in following if run is not None)
    return replace(noted, unfinished=(*noted.unfinished, *new)) if new else noted


def claim_attempts(spec: Spec, claim: Claim, look: Look, me: Me) -> Decision:
    """Claim the attempts whose time has come and for which there is a place; none of a job that is not enabled."""
    if not spec.enabled or not any(run.waits for run in claim.unfinished):
        return Decision(claim)
    start: list[Unfinished] = []
    unfinished: list[Unfinished] = []
    waits = None
    for run in claim.unfinished:
        if not run.waits or not is_due(spec, run, look.now):
            unfinished.append(run)
        elif len(start) >= look.places:
            waits = run.not_before
            unfinished.append(run)
        else:
            start.append(replace(run, node=me.node, boot_id=me.boot_id, not_before=None))
            unfinished.append(start[-1])
    return Decision(replace(claim, unfinished=tuple(unfinished)) if start else claim, tuple(start), waits)


def first_due(spec: Spec, claim: Claim, after: datetime) -> datetime | None:
    """When the first of the attempts is due that wait for their time; None where none does."""
    if not spec.enabled:
        return None
    times = [run.not_before for run in claim.unfinished if run.not_before is not None and run.waits]
    return min((time for time in times if time > after), default=None)
