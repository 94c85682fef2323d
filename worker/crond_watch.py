"""What is wrong with the host's cron and with our lines, by what is seen of them: `findings` is pure.

A line of ours, the canary, has cron file the name of its table each minute. So cron says that it lives, and which
table it has read.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cronkeeper.common.facts import ConditionName, Finding
from cronkeeper.common.model import replace

PATIENCE = 75.0
"""Seconds without a canary after which cron hangs: it comes each minute, up to 2 s late."""
READ_WITHIN = 15.0
"""Seconds in which a cron that is busy files what it read before the table was written anew."""
SETTLE = 5.0
"""Seconds in which another canary may come that shows the newest table: a copy of our lines files the old ones."""
PAUSED = 45.0
"""Seconds between two looks after which nothing is held against cron: the machine may have slept."""
AGAIN = 600.0
"""Seconds after which a table is written once more that cron still has not read."""
KNOWN = 100
"""How many tables are remembered."""
NEVER = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of cron. Times are readings of the lease's clock."""

    alive: bool = False
    fault: Finding | None = None
    """Why the table is not as it should be."""
    doubt: str | None = None
    """What in the table cron would refuse, others' lines included."""
    expected_since: float = math.inf
    """Since when a canary could have come; without end where none is in the table."""
    right_at: float = NEVER
    """When the canary came of a table that cron may go by."""
    outdated_at: float = NEVER
    """When one came of a table that was replaced long before."""
    outdated_since: float = math.inf
    """From when on only such came, though it was time for another; without end where none did."""
    edited: bool = False
    """Whether others changed our lines, and cron has not said since that it read the right ones."""

    @property
    def silent_from(self) -> float:
        """When a canary is overdue, if none comes."""
        return max(self.expected_since, self.right_at, self.outdated_at) + PATIENCE

    @property
    def outdated_from(self) -> float:
        """When cron is known to go by an old table; without end where there is no sign of that."""
        return self.outdated_since + SETTLE


def findings(seen: Seen, clock: float) -> tuple[Finding, ...]:
    """What is wrong now, each name once."""
    found = [] if seen.fault is None else [seen.fault]
    if not seen.alive:
        found.append(Finding(ConditionName.CROND_DEAD, "no cron daemon runs on this machine"))
    elif clock >= seen.silent_from and seen.fault is None and seen.doubt is not None:
        reason = (
            f"cron has filed nothing for more than a minute, and may refuse the whole table: {seen.doubt}"
        )
        found.append(Finding(ConditionName.CRONTAB_REFUSED, reason))
    elif clock >= seen.silent_from:
        reason = "the cron daemon runs, and has filed nothing for more than a minute"
        found.append(Finding(ConditionName.CROND_HUNG, reason))
    elif clock >= seen.outdated_from:
        reason = "the cron daemon goes by a table that was replaced since"
        found.append(Finding(ConditionName.CROND_OLD_TABLE, reason))
    if seen.edited:
        reason = "our lines were changed by someone else and are put right; cron has not read them yet"
        found.append(Finding(ConditionName.CRONTAB_EDITED, reason))
    return tuple(found)


@dataclass(slots=True)
class _Written:
    at: float
    replaced_at: float = math.inf


class CrondWatch:
    """Takes note of what is seen of cron. `clock` only grows, suspended time included."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._tables: dict[str, _Written] = {}
        self._name: str | None = None
        self._edited_at = NEVER
        self._looked_at = math.inf
        self._again = NEVER

    def look(self, clock: float, *, alive: bool, canaries: Iterable[str]) -> None:
        """Whether a cron daemon lives, and what its canaries have filed since the last look."""
        paused = clock - self._looked_at > PAUSED
        self._looked_at = clock
        if self._name is not None and (paused or (alive and not self.seen.alive)):
            self.seen = replace(self.seen, expected_since=clock)
        self.seen = replace(self.seen, alive=alive)
        for name in canaries:
            self._hear(name, clock)
        if self.seen.right_at == clock:
            self.seen = replace(self.seen, doubt=None)

    def stands(self, name: str | None, clock: float, *, edited: bool) -> None:
        """The table of that name stands in the crontab; None: none of ours. `edited`: others had changed it."""
        self.seen = replace(self.seen, fault=None)
        if edited:
            self._edited_at = clock
            self.seen = replace(self.seen, edited=name is not None)
        if name == self._name:
            return
        if self._name is not None:
            self._tables[self._name].replaced_at = clock
        if name is None:
            self.seen = Seen(alive=self.seen.alive)
        else:
            self._tables.pop(name, None)
            self._tables[name] = _Written(clock)
            if self._name is None:
                self.seen = replace(self.seen, expected_since=clock)
        self._name = name
        while len(self._tables) > KNOWN:
            del self._tables[next(iter(self._tables))]

    def fails(self, fault: Finding) -> None:
        """The table could not be put right."""
        self.seen = replace(self.seen, fault=fault)

    def doubts(self, doubt: str | None) -> None:
        """Take note of what cron would refuse."""
        self.seen = replace(self.seen, doubt=doubt)

    def is_silent(self, clock: float) -> bool:
        """Whether cron lives and a canary is overdue."""
        return self.seen.alive and clock >= self.seen.silent_from

    def wants_writing(self, clock: float) -> bool:
        """Whether to write the table again, since cron takes no notice of it; True once in a while."""
        if not self.seen.alive or clock < min(self.seen.silent_from, self.seen.outdated_from):
            self._again = NEVER
            return False
        due = clock >= self._again
        if due:
            self._again = clock + AGAIN
        return due

    def wait(self, clock: float) -> float:
        """Seconds until there may be something to find, though nothing happens."""
        moments = [self.seen.silent_from, self.seen.outdated_from] if self.seen.alive else []
        return min((moment - clock for moment in moments if moment > clock), default=math.inf)

    def _hear(self, name: str, clock: float) -> None:
        table = self._tables.get(name)
        if self._name is None:
            return
        replaced_at = table.replaced_at if table is not None else next(iter(self._tables.values())).at
        if clock - replaced_at > READ_WITHIN:
            overdue = clock - self.seen.right_at > PATIENCE / 2
            since = min(self.seen.outdated_since, clock if overdue else math.inf)
            self.seen = replace(self.seen, outdated_at=clock, outdated_since=since)
            return
        read = table is not None and table.at >= self._edited_at
        edited = self.seen.edited and not read
        self.seen = replace(self.seen, right_at=clock, outdated_since=math.inf, edited=edited)
