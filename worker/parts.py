"""What a worker is made of, and what it goes by."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.settings import CRON_TAKES
from cronkeeper.common.waker import Waker
from cronkeeper.worker import records
from cronkeeper.worker.alone import Alone
from cronkeeper.worker.claims import Me
from cronkeeper.worker.facts import roll
from cronkeeper.worker.journal import Journal
from cronkeeper.worker.outbox import Outbox
from cronkeeper.worker.standing import Standing
from cronkeeper.worker.table import Table
from cronkeeper.worker.ticks import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker touches outside itself."""

    tree: Tree
    lease: Lease
    lease_file: Path
    standing: Standing
    spool: Spool
    table: Table
    journal: Journal
    reporter: Outbox
    waker: Waker
    alone: Alone
    """What goes on while the node is cut off."""

    def __post_init__(self) -> None:
        self.standing.runs = partial(roll, self.journal.entries)
        self.standing.records = partial(records.of, self.journal, self.alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a worker goes by."""

    me: Me
    on_time: timedelta
    """A younger tick always runs, also when several have gathered."""
    clock_grace: timedelta
    max_running: int
    """How many runs go on at once; what else is due waits."""
    renew_every: float
    """Seconds between renewals of the lease; infinite where it never ends."""
    run_lease: float
    """Seconds after which others take the runs of a node that is gone for lost."""

    @property
    def punctual(self) -> timedelta:
        """As `Fleet.punctual`."""
        return self.clock_grace + timedelta(seconds=CRON_TAKES)
