"""Keeps this node's crontab in step with its claims, and says whether cron can be relied on."""

import logging
import math
from collections.abc import Iterable
from datetime import datetime, tzinfo
from pathlib import Path

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import ClaimName
from cronkeeper.worker import crontab
from cronkeeper.worker.assignment import Held, JobKey
from cronkeeper.worker.crond import Crond
from cronkeeper.worker.crontab_file import Crontab, apply

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds after which the crontab is compared and crond looked for, though nothing changed."""
RETRY = 5.0
PER_LINE = 50e-6
"""Seconds that must lie between two writes for each line of the table, which is always written whole: where jobs
come in by the hundred, a small part of the time goes into it."""
ZONES_EVERY = 12 * 3600.0
"""Seconds after which the lines of jobs in other zones are worked out again: they look some 14 months ahead."""


class Table:
    """Our block in one crontab; with `None` for a crontab the clock leads, and there is nothing to keep."""

    def __init__(self, target: Crontab | None, install: str, spool: Path, zone: tzinfo, crond: Crond) -> None:
        self._target = target
        self._crond = crond
        self._install = install
        self._spool = spool
        self._zone = zone
        self._lines: dict[ClaimName, tuple[bytes, ...]] = {}
        self._dirty = True
        self._next_look = self._next_write = self._next_zones = 0.0
        self._complaint: str | None = None
        self._written = False

    def changed(self) -> None:
        """The claims are others now."""
        self._dirty = True

    @property
    def trusted(self) -> bool:
        """Whether our lines are in the crontab, and the crond that was seen to run still does."""
        return self._written and self._crond.alive

    def keep(self, held: Iterable[Held], now: datetime, clock: float) -> None:
        """Write what has changed, and look after the rest now and then. `clock` only grows."""
        if self._target is None or clock < self._next_write or (not self._dirty and clock < self._next_look):
            return
        try:
            lines = self._render(held, now, clock)
            self._next_write = clock + PER_LINE * len(lines)
            if apply(self._target, self._install, lines):
                log.info(
                    "%s now has lines for %d jobs", self._target.title, sum(map(bool, self._lines.values()))
                )
        except CronkeeperError as error:
            self._complain(str(error))
            self._written = False
            self._dirty, self._next_look = False, clock + RETRY
            return
        self._complaint = None
        self._dirty, self._next_look = False, clock + CHECK_EVERY
        self._written = True
        self._crond.find()

    def wait(self, clock: float) -> float:
        """After how many seconds there is something to write; without end where nothing has changed."""
        return self._next_write - clock if self._dirty and self._target is not None else math.inf

    def clear(self) -> None:
        """Take our block out. Raises: CrontabRefused, Damaged."""
        if self._target is not None:
            apply(self._target, self._install, [])

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
        lines = crontab.lines(held.spec, spool=self._spool, user=user, zone=self._zone, now=now)
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

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.error("the crontab is not up to date, the clock starts the jobs meanwhile: %s", text)
        self._complaint = text


def _by_job(line: tuple[ClaimName, tuple[bytes, ...]]) -> JobKey:
    return line[0].job_id, line[0].copy
