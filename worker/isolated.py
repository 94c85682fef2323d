"""Rounds without the tree: while the lease is over, jobs that nobody else may have go on by what the node wrote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common import isolation
from cronkeeper.common.model import StartedBy
from cronkeeper.common.passed_over import timing
from cronkeeper.worker import assignment, reports
from cronkeeper.worker.agenda import Agenda
from cronkeeper.worker.assignment import Assignment, Change, Fate, Held, JobKey
from cronkeeper.worker.claiming import Claiming, Made
from cronkeeper.worker.merging import merged
from cronkeeper.worker.parts import Parts, Rules
from cronkeeper.worker.places import Places

MOST = 64
"""Claims that are written in one round: each has to come onto the disk."""
Write = Callable[[Sequence[assignment.Write]], list[Fate]]


@dataclass(frozen=True, slots=True)
class Deeds:
    """What a round with the tree does too."""

    take: Callable[[Change, datetime, float], None]
    write: Callable[[list[Made], datetime, Write], None]
    start: Callable[[datetime, set[JobKey]], None]
    schedule: Callable[[JobKey], None]


class Isolated:
    """Of one worker. `keys` are the jobs that go on now."""

    def __init__(
        self, parts: Parts, rules: Rules, held: Assignment, claiming: Claiming, agenda: Agenda, deeds: Deeds
    ) -> None:
        self._parts = parts
        self._rules = rules
        self._assignment = held
        self._claiming = claiming
        self._agenda = agenda
        self._deeds = deeds
        self.places = Places(rules.max_running)
        self.keys: set[JobKey] = set()
        self._idle = False
        held.merge = self._merge
        claiming.pausing.heard = self._heard
        node, clocks = parts.alone.node, parts.standing.clocks
        if node is not None and node.clock is not None and clocks.measured is None:
            clocks.recall(node.clock)

    def go_on(self, now: datetime, drop: Callable[[JobKey], None]) -> bool:
        """A round, where the lease is over; False where nothing may go on. `drop`: it waits for no place there."""
        clock = self._parts.lease.now()
        if self._parts.lease.may_act(clock):
            return False
        begun = self._begin()
        for held in begun:
            drop(held.key)
        self._deeds.take(Change(gained=tuple(begun)), now, clock)
        if not self.keys:
            return False
        made, looked_at = self._look(now, clock)
        self._deeds.write(made, now, self._parts.alone.write)
        self._deeds.start(now, self.keys)
        for key in looked_at:
            self._deeds.schedule(key)
        return True

    def _begin(self) -> list[Held]:
        """Have go on what may and does not yet; returns that, to be looked at as a claim that was just read."""
        begun = [] if self._assignment.listed else self._adopt()
        for key, held in self._assignment.held.items():
            if (
                held.alone is None
                and self._may_go_on(held)
                and self._keep()
                and self._parts.alone.begin(held)
            ):
                begun.append(held)
                self._assignment.doubt(key)
        self.keys = {key for key, held in self._assignment.held.items() if held.alone is not None}
        return begun

    def _look(self, now: datetime, clock: float) -> tuple[list[Made], list[JobKey]]:
        """The changes that claims need now, and the jobs that were looked at."""
        idle = not self._parts.standing.clocks.may_go_on(now, clock)
        if self._idle and not idle:
            self._agenda.touch_all(self.keys, StartedBy.CLOCK)
        self._idle = idle
        self._agenda.touch_due(now, StartedBy.CLOCK)
        self._agenda.touch_waited(clock)
        turns = self.places.turns(self._parts.journal.taken, 0 if idle else MOST)
        touched = self._agenda.take(MOST, idle=idle, only=self.keys)
        looks = turns.jobs | {key: each for key, each in touched.items() if turns.jobs.get(key) is None}
        made = []
        for key, trigger in looks.items():
            held = self._assignment.held.get(key)
            if held is None or held.alone is None:
                continue
            looked = self._claiming.look(held, trigger, now, turns.places_for(key))
            if looked.waits is not None:
                self.places.wait(key, trigger, now, looked.waits)
            if looked.made is not None:
                turns.give(len(looked.made.start))
                made.append(looked.made)
        return made, [] if idle else list(looks)

    def landed(self, made: Made) -> None:
        """Where the tree was owed what was written here it has that now, and it is seen what is due.

        A job whose file can't be deleted waits, or it would be told again when others stand in the claim.
        """
        held = made.write.held
        if held.owed:
            held.owed = False
            self._parts.alone.drop([held.key])
            if held.key in self._parts.alone.records:
                self._assignment.let_go(held.key)
                return
            self._agenda.touch(held.key, StartedBy.ADOPTION if made.trigger is None else made.trigger)

    def release(self, now: datetime) -> None:
        """Let go of what was written and is needed no more: nothing was claimed by it, or the job has left.

        Before anything is claimed in the tree: what is left of it would be older than that.
        """
        records = self._parts.alone.records
        gone = {key for key in records if not self._assignment.may_hold(key)}
        for held in [self._parts.alone.held(records[key]) for key in gone]:
            for skip in held.claim.skips:
                self._parts.reporter.submit(reports.of_skip(held, skip, self._rules.me.node, now))
        settled = {key for key, held in self._assignment.held.items() if held.alone is None}
        unused = {key for key in records.keys() & settled if records[key].count == 0}
        self._parts.alone.drop(gone | unused)
        for key in unused & records.keys():
            self._assignment.let_go(key)

    def _adopt(self) -> list[Held]:
        """What an earlier daemon wrote, where this one has not heard from the tree yet."""
        found = [held for held in self._parts.alone.adopted() if held.key not in self._assignment.held]
        pausing, node = self._claiming.pausing, self._parts.alone.node
        if found and node is not None and not pausing.known:
            pausing.pause, pausing.known = node.pause, True
        if not pausing.known:
            return []
        for held in found:
            self._assignment.adopt(held)
        return found

    def _keep(self) -> bool:
        return self._parts.alone.keep(self._claiming.pausing.pause, self._parts.standing.clocks.measured)

    def _heard(self) -> None:
        if self._parts.alone.records:
            self._keep()

    def _merge(self, held: Held) -> None:
        """Bring a claim that was just read together with what was written here."""
        held.alone, held.owed = None, False
        self.keys.discard(held.key)
        self.places.drop(held.key)
        local = self._parts.alone.records.get(held.key)
        if local is None or local.count == 0:
            return
        if not isolation.by_itself(held.spec):
            self._parts.alone.retire(held.key)
        held.claim = merged(held.claim, held.spec, local)
        held.looked, held.owed = None, True

    def _may_go_on(self, held: Held) -> bool:
        """Whether nobody else may have it, and all is known of it that is needed.

        Where a run by hand may have been claimed the tree has to be asked first; and where a new schedule was heard
        of, and the tree was away again before it was told what had begun by the old one.
        """
        local = self._parts.alone.records.get(held.key)
        if not self._claiming.pausing.known:  # the node may be paused
            return False
        if not held.claim.alone or not isolation.by_itself(held.spec) or (held.sent and held.sent.also):
            return False
        return not held.owed or local is None or timing(held.spec) == timing(local.spec)
