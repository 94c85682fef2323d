"""Keeps this node's crontab in step with its claims, and says whether cron can be relied on."""

import logging
import math
from collections.abc import Iterable
from datetime import datetime, tzinfo

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.facts import Finding
from cronkeeper.common.model import ClaimName
from cronkeeper.worker import crontab
from cronkeeper.worker.assignment import Held, JobKey
from cronkeeper.worker.crond import Crond
from cronkeeper.worker.crond_watch import CrondWatch, findings
from cronkeeper.worker.crontab_file import Crontab, CrontabRefused, apply, put
from cronkeeper.worker.ticks import Spool

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds after which the crontab is compared and crond looked for, though nothing changed."""
RETRY = 5.0
PER_LINE = 50e-6
"""Seconds that must lie between two writes for each line of the table, which is always written whole: where jobs
come in by the hundred, a small part of the time goes into it."""
ZONES_EVERY = 12 * 3600.0
"""Seconds after which the lines of jobs in other zones are worked out again: they look some 14 months ahead."""


APART = 1.1
"""Seconds after which a table is written once more that followed another one sooner: of two within the same second
Debian's cron takes no notice of the later one, where it read the first."""


class Table:
    """Our block in one crontab; with `None` for a crontab the clock leads, and there is nothing to keep."""

    def __init__(
        self, target: Crontab | None, install: str, spool: Spool, zone: tzinfo, crond: Crond
    ) -> None:
        self._target = target
        self._crond = crond
        self._install = install
        self._spool = spool
        self._zone = zone
        self._watch = CrondWatch()
        self._lines: dict[ClaimName, tuple[bytes, ...]] = {}
        self._stood: list[bytes] | None = None
        """The lines as they were last seen to stand there; None: never since the start."""
        self._times = 0
        """How often the table was written though its lines were the same: cron is to see another one."""
        self._dirty = True
        self._next_look = self._next_write = self._next_find = self._next_zones = 0.0
        self._stood_at, self._once_more = -math.inf, math.inf
        """When the table was written last, and when to write it again as it is."""
        self._complaint: str | None = None
        self._written = False
        self.findings: tuple[Finding, ...] = ()
        """What is wrong with cron and the crontab, as of the last `keep`."""

    def changed(self) -> None:
        """The claims are others now."""
        self._dirty = True

    @property
    def trusted(self) -> bool:
        """Whether our lines are in the crontab, the crond that was seen to run still does, and nothing is wrong."""
        return self._written and self._crond.alive and not self.findings

    def keep(self, held: Iterable[Held], now: datetime, clock: float) -> None:
        """Write what has changed, and look after the rest now and then. `clock` only grows."""
        if self._target is None:
            return
        self._look(clock)
        if clock >= self._next_write and (self._dirty or clock >= self._next_look):
            try:
                self._apply(self._target, self._render(held, now, clock), clock)
            except CrontabRefused as error:
                self._complain(error)
                self._written = False
                self._dirty, self._next_look = False, clock + RETRY
            else:
                self._complaint = None
                self._dirty, self._next_look = False, clock + CHECK_EVERY
                self._written = True
        self._find(findings(self._watch.seen, clock))

    def wait(self, clock: float) -> float:
        """After how many seconds there is something to write or to find; without end where nothing is to come."""
        if self._target is None:
            return math.inf
        write = self._next_write if self._dirty else self._once_more
        return min(write - clock, self._watch.wait(clock))

    def clear(self) -> None:
        """Take our block out. Raises: CrontabRefused."""
        if self._target is not None:
            apply(self._target, self._install, [], self._spool.folder)

    def _look(self, clock: float) -> None:
        if clock >= self._next_find and not self._crond.alive:
            self._crond.find()
            self._next_find = clock + RETRY
        self._watch.look(clock, alive=self._crond.alive, canaries=self._spool.canaries())
        if self._watch.wants_writing(clock) or clock >= self._once_more:
            self._once_more = math.inf
            self._times += 1
            self._dirty = True

    def _apply(self, target: Crontab, jobs: list[bytes], clock: float) -> None:
        self._next_write = clock + PER_LINE * len(jobs)
        before = target.read()
        edited = self._stood is not None and self._splice(before, self._stood) != before
        if edited:  # the new name says that cron has read what was put right, and not what stood there before
            log.warning("%s was changed by someone else: our lines are put right", target.title)
            self._times += 1
        name, lines = self._named(target, jobs)
        after = self._splice(before, lines)
        if put(target, before, after):
            self._once_more = clock + APART if clock < self._stood_at + APART else math.inf
            self._stood_at = clock
            if lines != self._stood and not edited:
                log.info("%s now has lines for %d jobs", target.title, sum(map(bool, self._lines.values())))
        self._stood = lines
        self._watch.stands(name, clock, edited=edited)
        if self._watch.is_silent(clock):
            self._watch.doubts(crontab.refused_line(after, system=target.user_field is not None))

    def _splice(self, table: bytes, lines: list[bytes]) -> bytes:
        return crontab.splice(table, self._install, lines, crontab.filing(self._spool.folder))

    def _named(self, target: Crontab, jobs: list[bytes]) -> tuple[str | None, list[bytes]]:
        """The table's name, and all its lines; where cron has nothing to file, it has no name."""
        if all(each.startswith(b"#") for each in jobs):
            return None, jobs
        name = crontab.name_of(jobs, self._times)
        return name, [*jobs, crontab.canary(name, spool=self._spool.folder, user=target.user_field)]

    def _find(self, found: tuple[Finding, ...]) -> None:
        before = {each.name for each in self.findings}
        for each in found:
            if each.name not in before and each != self._watch.seen.fault:
                log.warning("%s: %s. The clock starts the jobs meanwhile", each.name, each.reason)
        self.findings = found

    def _render(self, held: Iterable[Held], now: datetime, clock: float) -> list[bytes]:
        before, again = self._lines, clock >= self._next_zones
        self._next_zones = clock + ZONES_EVERY if again else self._next_zones
        self._lines = {
            each.name: before[each.name]
            if each.name in before and not (again and crontab.follows_another_zone(each.spec, self._zone))
            else self._lines_of(each, now)
            for each in held
        }
        return [line for _, lines in sorted(self._lines.items(), key=_by_job) for line in lines]

    def _lines_of(self, held: Held, now: datetime) -> tuple[bytes, ...]:
        assert self._target is not None
        user = self._target.user_field
        lines = crontab.lines(held.spec, spool=self._spool.folder, user=user, zone=self._zone, now=now)
        if lines == self._lines.get(held.name):
            return lines
        try:
            for line in lines:
                crontab.check(line, system=user is not None)
        except (CronkeeperError, ValueError) as error:
            number = held.name.job_id
            log.error("job %d gets no line, the clock starts it: %s", number, error, extra={"job": number})
            return ()
        return lines

    def _complain(self, error: CrontabRefused) -> None:
        if str(error) != self._complaint:
            log.error("the crontab is not up to date, the clock starts the jobs meanwhile: %s", error)
        self._complaint = str(error)
        self._watch.fails(Finding(error.condition, str(error)))


def _by_job(line: tuple[ClaimName, tuple[bytes, ...]]) -> JobKey:
    return line[0].job_id, line[0].copy
