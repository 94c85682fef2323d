"""Turns what is known into the next state of each claim, and follows up once that has landed."""

import logging
from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from cronkeeper.common import isolation
from cronkeeper.common.attempts import call_off, follows
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Delete, Op
from cronkeeper.common.log import about
from cronkeeper.common.model import Claim, HandRun, Outcome, RunState, Skip, StartedBy, Unfinished
from cronkeeper.worker import attempts, claims
from cronkeeper.worker.assignment import Held, JobKey, Write, job_key
from cronkeeper.worker.journal import Entry, Journal
from cronkeeper.worker.pausing import Pausing
from cronkeeper.worker.run_folder import NoRoom, Plan

log = logging.getLogger(__name__)

PAST = 1000
"""How many ends are remembered of runs that were let go of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A change of a claim, and what follows when it has landed."""

    write: Write
    trigger: StartedBy | None
    start: tuple[str, ...]
    """The runs that may start then; each has its folder."""
    without_folder: tuple[Unfinished, ...]
    """The runs that are over before they began; only the claim knows of them."""
    new_skips: tuple[Skip, ...]
    handed: tuple[HandRun, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a job came to: the change of its claim, if it needs one, and since when it lacks a place."""

    made: Made | None
    waits: datetime | None = None


class Claiming:
    """The worker's memory of what is to go into its claims."""

    def __init__(self, journal: Journal, me: claims.Me, on_time: timedelta, pausing: Pausing) -> None:
        self._journal = journal
        self.pausing = pausing
        self._me = me
        self._on_time = on_time
        self._acknowledged: defaultdict[JobKey, set[str]] = defaultdict(set)
        self._inbox: defaultdict[JobKey, dict[str, HandRun]] = defaultdict(dict)
        self.gone: dict[str, Outcome] = {}
        """The ends of runs in our claims that have no folder here."""
        self.past: dict[str, Outcome] = {}
        """How those ended that were let go of last: their job may come back in a claim that has not heard of it."""
        self.idle = False
        """Whether nothing that was asked for is claimed, since this machine's clock is not to be believed."""

    def requests(self, hand_runs: Iterable[HandRun]) -> set[JobKey]:
        """Take note of the whole inbox; returns the jobs that it asks for."""
        self._inbox.clear()
        for hand_run in hand_runs:
            self._inbox[hand_run.job_id, hand_run.copy][hand_run.run_id] = hand_run
        return set(self._inbox)

    def acknowledge(self, run_id: str, *, held: bool) -> bool:
        """The API knows how the run ended; True where the claim must be told.

        Where the run goes on here, that was an older word on it: it was given up, and claimed after all.
        """
        entry = self._journal.entries.get(run_id)
        if entry is not None and entry.outcome is None:
            return False
        if held:
            self._acknowledged[job_key(run_id)].add(run_id)
        else:
            self._forget(run_id)
        return held

    def look(self, held: Held, trigger: StartedBy | None, now: datetime, places: int) -> Looked:
        """Work out the change that the claim needs now, which starts so many runs at most.

        With no `trigger` the ticks are not looked at.
        """
        claim = self._brought_up(held, now)
        if held.owed:  # alone: what starts after it must have a token above all that were given out here
            return Looked(self._made(held, claim, trigger, [], ()))
        start: list[Unfinished] = []
        waits = None
        if trigger is not None:
            decision = self._due(held, claim, claims.Look(now, trigger, places))
            claim, waits = decision.claim, decision.waits
            start += decision.start
        handed = []
        for hand_run in self._asked_for(held, claim):
            if len(start) >= places and claims.busy(claim) is None:
                waits = now if waits is None else waits
                break
            decision = claims.claim_by_hand(claim, hand_run.run_id, self._me, now)
            claim = decision.claim
            start += decision.start
            handed.append(hand_run)
        if claim == held.claim and not handed:
            self._forget_settled(held)
            return Looked(None, waits)
        claim, ready = self._make_folders(held, claim, start, now)
        return Looked(self._made(held, claim, trigger, ready, tuple(handed)), waits)

    def _brought_up(self, held: Held, now: datetime) -> Claim:
        """The claim with all that is known of what it lists, and without what is dealt with."""
        claim = attempts.note_ends(held.spec, held.claim, self._outcomes(held.claim))
        if not held.spec.enabled and not held.spec.resting:
            claim = call_off(claim, "the job was paused", now)
        claim = claims.prune(held.spec, claim, self._acknowledged[held.key], self._me)
        claim = claims.bounded(held.spec, claim)
        return replace(claim, alone=False) if claim.alone and not isolation.by_itself(held.spec) else claim

    def _due(self, held: Held, claim: Claim, look: claims.Look) -> claims.Decision:
        """The ticks that may start now, and the attempts that follow others and are not replaced by a tick."""
        claim = self.pausing.passed_over(held, claim, look.now)
        if self.pausing.goes_on:
            return claims.Decision(claim)
        ticks = claims.claim_ticks(held.spec, claim, look, self._me, self._on_time)
        left = replace(look, places=look.places - len(ticks.start))
        again = attempts.claim_attempts(held.spec, ticks.claim, left, self._me)
        held.looked = look.now
        self._order_ends(ticks)
        waits = again.waits if again.waits is not None else ticks.waits
        return replace(again, start=(*ticks.start, *again.start), waits=waits)

    def _asked_for(self, held: Held, claim: Claim) -> Iterable[HandRun]:
        none = self.idle or held.alone is not None or self.pausing.goes_on
        return islice(self._inbox[held.key].values(), 0 if none else claims.room_for_requests(claim))

    def landed(self, made: Made) -> None:
        """The change is in the tree: what it allows may happen."""
        for run_id in made.start:
            self._journal.clear(run_id)
        for hand_run in made.handed:
            self._inbox[made.write.held.key].pop(hand_run.run_id, None)
            with about(hand_run.request_id):
                more = {"job": hand_run.job_id, "run": hand_run.run_id}
                log.info("run %s, asked for by hand, is taken from the inbox", hand_run.run_id, extra=more)
        self._forget_settled(made.write.held)

    def blocked_abroad(self, held: Iterable[Held]) -> list[JobKey]:
        """The jobs in which something may wait for a run of another node, whose end the leader alone writes."""
        return [
            each.key
            for each in held
            if claims.abroad(each.claim, self._me) and claims.waits_abroad(each.spec)
        ]

    def leads_on(self, held: Held, plan: Plan, state: RunState) -> bool:
        """Whether something may follow at once where the run has come to this end."""
        reruns = claims.reruns_of(held.claim, plan.run_id)
        return claims.takes_turns(held.spec) or follows(held.spec, plan.attempt, state, reruns) is not None

    def refused(self, made: Made) -> None:
        """The change is not in the tree: its runs were never ours, and nobody is to hear of them from here."""
        for run_id in made.start:
            entry = self._journal.entries[run_id]
            if not entry.cleared and entry.outcome is None:
                self._journal.drop(run_id)

    def release(self, may_hold: Callable[[JobKey], bool], told: Container[str], now: datetime) -> list[Entry]:
        """Let go of the jobs that are not ours: returns their runs that were given up, not having been started.

        Whoever has the job now waits for their end, if they were claimed. Those that a tree which had lost all was
        `told` of are only held up: their jobs may be published here again, with them.
        """
        for key in [key for key in self._acknowledged if not may_hold(key)]:
            for run_id in list(self._acknowledged[key]):
                self._forget(run_id)
            del self._acknowledged[key]
        left = [run_id for key in self._journal.by_job if not may_hold(key) for run_id in self._runs(key)]
        for run_id in left:
            if run_id in told:
                self._journal.hold_up(run_id)
        over = [self._journal.give_up(run_id, now) for run_id in left if run_id not in told]
        return [entry for entry in over if entry is not None]

    def drop_unclaimed(self, held: Held, now: datetime) -> list[Entry]:
        """Drop the folders of runs whose claim, as just read, did not come to be, or is another node's.

        Returns those that were claimed, have not begun, and were given up while the job was elsewhere.
        """
        mine = (run for run in held.claim.unfinished if run.node == self._me.node)
        claimed = {run.run_id for run in mine if not run.waits}
        left = [run_id for run_id in self._runs(held.key) if run_id not in claimed]
        unended = [run_id for run_id in left if self._journal.entries[run_id].outcome is None]
        for run_id in unended:
            if not self._journal.entries[run_id].cleared:
                self._journal.drop(run_id)
        over = (self._journal.give_up(run_id, now) for run_id in unended if run_id in self._journal.entries)
        return [entry for entry in over if entry is not None]

    def _order_ends(self, decision: claims.Decision) -> None:
        """Have the runs end that are in the way of a tick, which waits for that."""
        for run_id in decision.in_the_way:
            self._journal.order_end(run_id, f"replaced by the tick of {decision.replaced_by:%FT%TZ}")

    def _made(
        self,
        held: Held,
        claim: Claim,
        trigger: StartedBy | None,
        ready: list[str],
        handed: tuple[HandRun, ...],
    ) -> Made:
        known = set(held.claim.unfinished)
        told = {skip.last for skip in held.claim.skips}
        also: list[Op] = [Delete(paths.inbox_entry(self._me.node, hand.run_id), 0) for hand in handed]
        return Made(
            write=Write(held, claim, tuple(also)),
            trigger=trigger,
            start=tuple(ready),
            without_folder=tuple(
                run
                for run in claim.unfinished
                if run.outcome is not None and run not in known and run.run_id not in self._journal.entries
            ),
            new_skips=tuple(skip for skip in claim.skips if skip.last not in told),
            handed=handed,
        )

    def _make_folders(
        self, held: Held, claim: Claim, start: list[Unfinished], now: datetime
    ) -> tuple[Claim, list[str]]:
        """A folder for each run before its claim; where there is no room for it, the run fails in the claim."""
        ready = []
        for run in start:
            try:
                self._journal.make(self._plan(held, run, now))
                ready.append(run.run_id)
            except NoRoom as error:
                log.error("run %s fails: %s", run.run_id, error, extra={"run": run.run_id})
                failed = Outcome(
                    state=RunState.FAILED, exit_code=None, reason=str(error), started_at=None, ended_at=now
                )
                claim = attempts.note_ends(held.spec, claim, {run.run_id: failed})
                held.looked = None  # what follows it may be due at once
        return claim, ready

    def _plan(self, held: Held, run: Unfinished, now: datetime) -> Plan:
        return Plan(
            run_id=run.run_id,
            spec=held.spec,
            gen=str(held.name.gen),
            token=held.token,
            tick=run.tick,
            attempt=run.attempt,
            started_by=run.started_by,
            node=run.node,
            boot_id=run.boot_id,
            claimed_at=now,
        )

    def _outcomes(self, claim: Claim) -> dict[str, Outcome]:
        outcomes = {}
        for run in claim.unfinished:
            if run.node != self._me.node:
                continue
            entry = self._journal.entries.get(run.run_id)
            outcome = entry.outcome if entry is not None else self.gone.get(run.run_id)
            if outcome is not None:
                outcomes[run.run_id] = outcome
        return outcomes

    def _forget_settled(self, held: Held) -> None:
        """Let go of what was acknowledged and has left the claim."""
        claimed = {run.run_id for run in held.claim.unfinished}
        skipped = {claims.skip_id(held.spec, skip) for skip in held.claim.skips}
        for run_id in self._acknowledged[held.key] - claimed - skipped:
            self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        self._acknowledged[job_key(run_id)].discard(run_id)
        self.gone.pop(run_id, None)
        entry = self._journal.entries.get(run_id)
        if entry is not None and entry.outcome is not None:
            self._journal.drop(run_id)
            self.past[run_id] = entry.outcome
            for old in list(islice(self.past, max(0, len(self.past) - PAST))):
                del self.past[old]

    def _runs(self, key: JobKey) -> list[str]:
        return list(self._journal.by_job.get(key, ()))
