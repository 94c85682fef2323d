"""The worker's step: observe the claims, decide what is due, act. One thread, and no waiting but for answers."""

import logging
from datetime import datetime, timedelta

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import NoNode
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import StartedBy, Unfinished
from cronkeeper.worker import figures, lease_file, reports, timetable
from cronkeeper.worker.agenda import Agenda
from cronkeeper.worker.assignment import Assignment, Change, Fate, Held, JobKey, job_key
from cronkeeper.worker.claiming import Claiming, Made
from cronkeeper.worker.inbox import Inbox
from cronkeeper.worker.isolated import Deeds, Isolated, Write
from cronkeeper.worker.journal import Entry
from cronkeeper.worker.parts import Parts, Rules
from cronkeeper.worker.pausing import Pausing
from cronkeeper.worker.places import Places, Turns
from cronkeeper.worker.reconcile import reconcile

log = logging.getLogger(__name__)

RESYNC = 30.0
"""Seconds after which everything is read again, in case a watch was lost."""
DOUBT = 5.0
"""Seconds after which claims that wait for another node's run are read again: the leader alone writes its end."""
SWEEP = 3600.0
"""Seconds between two looks for artifacts that no job here needs any more."""
RETRY = 0.5
SPACING = 0.05
"""Seconds that lie at least between two rounds: in a burst each then sees to many ends and acknowledgements."""
MAX_CLAIMS = 64
"""How many claims are written in one round: the first of a thousand runs starts while others are still claimed."""
START_MARGIN = 1.5
"""Seconds that the lease must still have for a start: the wrapper sees its deadline in whole seconds."""
OUTCOME_PATIENCE = 1.0
"""Seconds that an end waits for the API before it goes into the claim: mostly one write then does for both."""


class Worker:
    """One node's daemon."""

    def __init__(self, parts: Parts, rules: Rules) -> None:
        self._parts = parts
        self._rules = rules
        self._assignment = Assignment(parts.tree, rules.me.node)
        self._pausing = Pausing(parts.tree, rules.me.node, parts.waker.set, rules.on_time)
        self._claiming = Claiming(parts.journal, rules.me, rules.on_time, self._pausing)
        self._agenda = Agenda()
        self._places = Places(rules.max_running)
        self.running = self.waiting = 0
        """How many runs have not ended here, and how many jobs wait for a place, as of the last round."""
        self._claims_watch = ChildWatch(parts.tree, paths.claims(rules.me.node), parts.waker.set)
        self._inbox = Inbox(parts.tree, rules.me.node, parts.waker.set)
        self._next_renewal = self._next_resync = self._next_try = self._next_doubt = 0.0
        self._next_sweep = parts.lease.now() + SWEEP
        self._trusted = False
        """Whether cron is given the clock's grace: as it was when the agenda was made."""
        self._complaint: str | None = None
        self._broken_off = False
        """Whether the last round was ended by an error that nobody foresaw."""
        self._left: list[Entry] = []
        """What had ended before the start: nobody is told of it until this is known to be the node's one worker."""
        self._knows_claims = False
        """Whether the claims were ever read: until then the crontab stays as it is."""
        deeds = Deeds(self._take, self._write, self._start_cleared, self._schedule)
        self._isolated = Isolated(parts, rules, self._assignment, self._claiming, self._agenda, deeds)
        figures.watch(parts, self._assignment.held, self._places)

    def start(self, now: datetime) -> None:
        """Pick up what an earlier daemon left: adopt the runs that live, report those that ended."""
        self._write_lease()
        self._parts.journal.load(now)
        for entry in self._parts.journal.entries.values():
            if entry.outcome is not None:
                self._left.append(entry)
            elif entry.running:
                began = self._parts.journal.began(entry, now)
                self._parts.reporter.submit(reports.of_start(entry.folder, began))

    def step(self, now: datetime) -> float:
        """One round. Returns after how many seconds the next one is wanted, if nothing wakes it before."""
        clock = self._parts.lease.now()
        if self._broken_off:
            self._assignment.forget()
            self._next_resync = self._next_renewal = 0.0
        self._broken_off = True
        self._reload(now)
        self._take_filed(now)
        for entry in self._parts.journal.poll(now):
            self._end(entry, clock)
        for run_id in self._parts.reporter.acknowledged():
            self._acknowledge(run_id)
        if clock >= self._next_try:
            self._with_tree(now, clock)
        if self._isolated.go_on(now, self._places.drop):  # one that answers slowly is not asked again at once
            self._next_try, self._next_renewal = max(self._next_try, clock + RETRY), 0.0
        if self._knows_claims:
            self._parts.table.keep(self._assignment.held.values(), now, clock)
        if self._parts.table.trusted != self._trusted:
            self._trusted = self._parts.table.trusted
            for key in self._assignment.held:
                self._schedule(key)
        self._broken_off = False
        self.running, self.waiting = self._parts.journal.taken, self._places.waiting
        self._places.tell()
        return self._next_wake(now, self._parts.lease.now())

    def _reload(self, now: datetime) -> None:
        live = self._parts.standing.reload(now)
        if live is not None:
            self._places.total = self._isolated.places.total = live.max_running
            self._parts.journal.account = live.account

    def _take_filed(self, now: datetime) -> None:
        if self._parts.spool.take():
            # Whichever it filed, cron has woken for this minute: all that waited for it is due, and nothing else.
            self._agenda.touch_due(now + self._grace, StartedBy.CRON)

    def stop(self) -> int:
        """Take our lines out of the crontab, and say how many runs go on without us."""
        self._parts.table.clear()
        return self._parts.journal.processes.count()

    def _with_tree(self, now: datetime, clock: float) -> None:
        try:
            self._renew(clock)
            if self._parts.standing.keep(clock, resync=clock >= self._next_resync):
                self._next_resync = 0.0
            while self._left:
                self._end(self._left.pop(), clock)
            self._observe(now, clock)
            self._knows_claims = True
            if self._parts.lease.may_act(self._parts.lease.now()):
                self._claim(now, clock)
            if self._parts.lease.may_act(self._parts.lease.now() + START_MARGIN):
                self._start_cleared(now)
            self._parts.standing.tell(now, clock)
            self._complaint = None
        except (Unavailable, NoNode) as error:
            self._next_try, self._next_resync, self._next_renewal = clock + RETRY, 0.0, 0.0
            if isinstance(error, NoNode):
                self._parts.standing.forget()
            if str(error) != self._complaint:
                log.warning("nothing is claimed until the tree answers: %s", error)
            self._complaint = str(error)

    def _renew(self, clock: float) -> None:
        if clock >= self._next_renewal:
            self._parts.lease.renew(self._parts.tree)
            self._write_lease()
            self._next_renewal = clock + self._rules.renew_every

    def _write_lease(self) -> None:
        try:
            deadlines = lease_file.of(self._parts.lease, self._rules.run_lease, self._parts.journal.uptime())
            lease_file.write(self._parts.lease_file, deadlines)
        except OSError as error:  # a full disk: what is claimed meanwhile fails, and says why
            log.error("the lease can't be written down, so nothing is started: %s", error)

    def _observe(self, now: datetime, clock: float) -> None:
        if clock >= self._next_doubt:
            self._next_doubt = clock + DOUBT
            for key in self._claiming.blocked_abroad(self._assignment.held.values()):
                self._assignment.doubt(key)
        settled = self._assignment.settle()
        self._take(settled, now, clock)
        look = settled.lost or self._claims_watch.fired or clock >= self._next_resync
        if look:
            self._claims_watch.arm()
            self._take(self._assignment.refresh(), now, clock)
            self._next_resync = clock + RESYNC
            self._parts.table.changed()
            told = self._parts.standing.told_lately(clock, self._rules.run_lease)
            for entry in self._claiming.release(self._assignment.may_hold, told, now):
                self._end(entry, clock)
        self._isolated.release(now)
        if look and clock >= self._next_sweep:
            self._parts.journal.sweep(held.spec for held in self._assignment.held.values())
            self._next_sweep = clock + SWEEP
        if news := self._pausing.look(whole=bool(look)):
            timetable.begin_anew(self._agenda, self._places, self._assignment, self._grace, self._pausing)
        if look or news or self._inbox.fired:
            for key in self._claiming.requests(self._inbox.read()):
                self._agenda.touch(key)

    def _take(self, change: Change, now: datetime, clock: float) -> None:
        for held in change.lost:
            self._agenda.set(held.key, None)
            self._places.drop(held.key)
        for held in change.gained:
            self._parts.journal.prefetch(held.spec)
            for entry in self._claiming.drop_unclaimed(held, now):
                self._end(entry, clock)
            for run in held.claim.unfinished:
                self._reconcile(held, run, now, clock)
            for skip in held.claim.skips:
                self._parts.reporter.submit(reports.of_skip(held, skip, self._rules.me.node, now))
            self._agenda.touch(held.key, StartedBy.ADOPTION)

    def _reconcile(self, held: Held, run: Unfinished, now: datetime, clock: float) -> None:
        found = reconcile(self._parts.journal, held, run, self._rules.me.node, now, self._claiming.past)
        if found.gone is not None:
            self._claiming.gone[run.run_id] = found.gone
        if found.ended is not None:
            self._end(found.ended, clock)
        elif found.report is not None:
            self._parts.reporter.submit(found.report)

    def _claim(self, now: datetime, clock: float) -> None:
        idle = not self._parts.standing.may_claim(now, clock)
        if self._claiming.idle and not idle:
            self._agenda.touch_all(self._assignment.held, StartedBy.CLOCK)  # what was passed over meanwhile
        self._claiming.idle = idle
        self._agenda.touch_due(now, StartedBy.CLOCK)
        self._agenda.touch_waited(clock)
        turns = self._places.turns(self._parts.journal.taken, 0 if idle else MAX_CLAIMS)
        touched = self._agenda.take(MAX_CLAIMS, idle=idle)
        looks = turns.jobs | {key: each for key, each in touched.items() if turns.jobs.get(key) is None}
        made: list[Made] = []
        for key, trigger in looks.items():
            held = self._assignment.held.get(key)
            if held is not None and held.version is None:
                self._agenda.touch(key, trigger)
            elif held is not None:
                made += self._look_at(held, trigger, now, turns)
        self._write(made, now)
        for key in () if idle else looks:
            self._schedule(key)

    def _look_at(self, held: Held, trigger: StartedBy | None, now: datetime, turns: Turns) -> list[Made]:
        looked = self._claiming.look(held, trigger, now, turns.places_for(held.key))
        if looked.waits is not None:
            self._places.wait(held.key, trigger, now, looked.waits)
        if looked.made is None:
            return []
        turns.give(len(looked.made.start))
        return [looked.made]

    def _write(self, made: list[Made], now: datetime, write: Write | None = None) -> None:
        fates = (self._assignment.write if write is None else write)([each.write for each in made])
        for each, fate in zip(made, fates, strict=True):
            held = each.write.held
            if fate is not Fate.LANDED:
                if fate is Fate.REFUSED:
                    self._claiming.refused(each)
                self._agenda.touch(held.key, each.trigger)
                continue
            self._claiming.landed(each)
            self._isolated.landed(each)
            for run in each.without_folder:
                if run.outcome is not None:
                    self._parts.reporter.submit(reports.of_claimed(held, run, run.outcome))
            figures.skipped(each.new_skips)
            for skip in each.new_skips:
                self._parts.reporter.submit(reports.of_skip(held, skip, self._rules.me.node, now))

    def _start_cleared(self, now: datetime, alone: set[JobKey] | None = None) -> None:
        for entry in self._parts.journal.start_cleared(now, alone):
            if entry.outcome is not None:
                self._end(entry, self._parts.lease.now())
            else:
                figures.started(entry.folder.plan, now, self._rules.punctual)
                self._parts.reporter.submit(reports.of_start(entry.folder, now))

    def _end(self, entry: Entry, clock: float) -> None:
        assert entry.outcome is not None
        self._parts.reporter.submit_end(entry.folder, entry.outcome)
        self._agenda.touch_at(entry.key, clock + OUTCOME_PATIENCE)
        held = self._assignment.held.get(entry.key)
        if held is not None and self._claiming.leads_on(held, entry.folder.plan, entry.outcome.state):
            self._agenda.touch(entry.key, StartedBy.CLOCK)

    def _acknowledge(self, run_id: str) -> None:
        key = job_key(run_id)
        if self._claiming.acknowledge(run_id, held=self._assignment.may_hold(key)):
            self._agenda.touch(key)

    def _schedule(self, key: JobKey) -> None:
        if (held := self._assignment.held.get(key)) is not None:
            timetable.schedule(self._agenda, held, self._grace, self._pausing)

    @property
    def _grace(self) -> timedelta:
        return self._rules.clock_grace if self._trusted else timedelta(0)

    def _next_wake(self, now: datetime, clock: float) -> float:
        if self._next_try > clock:
            return self._next_try - clock
        held_up = self.waiting and self.running < self._places.total and not self._claiming.idle
        if self._assignment.unsettled or held_up:
            return 0.0
        waits = [self._next_resync - clock, self._next_renewal - clock, self._agenda.wait(now, clock)]
        waits += [self._parts.journal.wait(), self._parts.reporter.wait(), self._parts.table.wait(clock)]
        waits.append(self._parts.standing.wait(clock))
        if self._parts.journal.waiting:
            waits.append(RETRY)
        return max(0.0, min(waits))
