"""Puts a worker together from its settings."""

import os
import platform
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from cronkeeper.common.artifacts.cache import Cache
from cronkeeper.common.artifacts.store import ArtifactStore
from cronkeeper.common.clock import utc_now
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import LiveNode
from cronkeeper.common.settings import Fleet
from cronkeeper.common.waker import Waker
from cronkeeper.worker.alone import Alone
from cronkeeper.worker.claims import Me
from cronkeeper.worker.clocks import Clocks
from cronkeeper.worker.crond import Crond
from cronkeeper.worker.crontab_file import Crontab, crond_pid
from cronkeeper.worker.facts import About, gather
from cronkeeper.worker.journal import Journal
from cronkeeper.worker.machine import boot_of, machine
from cronkeeper.worker.mark_seen import MarkSeen
from cronkeeper.worker.outbox import Outbox
from cronkeeper.worker.parts import Parts, Rules
from cronkeeper.worker.presence import Presence
from cronkeeper.worker.process import Account, CannotStart, Processes
from cronkeeper.worker.reload import Live, Loaded, Reload, no_file
from cronkeeper.worker.reporter import Reporter, Send
from cronkeeper.worker.safekeeping import Safekeeping
from cronkeeper.worker.standing import Standing
from cronkeeper.worker.table import Table
from cronkeeper.worker.ticks import Spool
from cronkeeper.worker.uploads import Uploads
from cronkeeper.worker.worker import Worker

ANYONE = "*"
RUNS_PER_CORE = 4
RENEWALS = 6
"""How often the lease is renewed in a session timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one worker needs to know. `crontab` is None where the clock leads."""

    node: str
    home: Path
    install: str
    """Marks our block in the crontab."""
    crontab: Crontab | None
    zone: ZoneInfo
    """The node's own: cron goes by it."""
    allow_run_as: tuple[str, ...]
    fleet: Fleet
    version: str
    lease_ends: bool
    """False for the embedded tree, which no link leads to."""
    max_running: int = 0
    """How many runs go on at once; 0: as many as suit the machine."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the node is or has."""
    capacity: int = 0
    """How many jobs it may have; 0: any number."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A worker, and what its loop waits on and has to stop."""

    worker: Worker
    standing: Standing
    waker: Waker
    reporter: Reporter


def assemble(
    settings: Settings,
    tree: Tree,
    artifacts: ArtifactStore,
    send: Send,
    read: Callable[[], Loaded] = no_file,
) -> Assembled:
    """Make the worker; its folders are made where they are missing. `read` reads the configuration again."""
    home, fleet = settings.home, settings.fleet
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    spool = Spool(home / "spool")
    processes = Processes(home / "lease")
    crond = Crond()
    waker = Waker([spool, processes, crond])
    reporter = Reporter(send, waker.set)
    safekeeping = Safekeeping(home / "runs")
    safekeeping.start()
    outbox = Outbox(reporter, Uploads(artifacts, waker.set), safekeeping)
    files = Cache(home / "artifacts", artifacts)
    files.notify = waker.set
    boot, live = boot_of(home), live_of(settings)
    on_time = timedelta(seconds=fleet.on_time)
    table = Table(settings.crontab, settings.install, spool, settings.zone, crond)
    standing = _standing(settings, tree, live, read, waker)
    standing.cron_findings = lambda: table.findings
    worker = Worker(
        Parts(
            tree=tree,
            lease=Lease(fleet.session_timeout if settings.lease_ends else None),
            lease_file=home / "lease",
            standing=standing,
            spool=spool,
            table=table,
            journal=Journal(home / "runs", processes, files, live.account, boot, on_time=on_time),
            reporter=outbox,
            waker=waker,
            alone=Alone(home / "alone", boot),
        ),
        Rules(
            me=Me(settings.node, boot),
            on_time=on_time,
            clock_grace=timedelta(seconds=fleet.clock_grace),
            max_running=live.max_running,
            renew_every=fleet.session_timeout / RENEWALS if settings.lease_ends else float("inf"),
            run_lease=fleet.run_lease,
        ),
    )
    return Assembled(worker, standing, waker, reporter)


def live_of(settings: Settings) -> Live:
    """What of the settings may change while the worker runs."""
    return Live(
        labels=settings.labels,
        capacity=settings.capacity,
        max_running=settings.max_running or RUNS_PER_CORE * len(os.sched_getaffinity(0)),
        account=Allowed(settings.fleet.run_as, settings.allow_run_as),
    )


@dataclass(frozen=True, slots=True)
class Allowed:
    """The node's own word on which users jobs may run as."""

    default: str
    others: tuple[str, ...]

    def __call__(self, run_as: str | None) -> Account:
        """Raises: CannotStart."""
        name = self.default if run_as is None else run_as
        if name != self.default and name not in self.others and ANYONE not in self.others:
            raise CannotStart(f"this node runs no jobs as {name!r}: add it to worker.allow_run_as there")
        return Account.named(name)


def _standing(
    settings: Settings, tree: Tree, live: Live, read: Callable[[], Loaded], waker: Waker
) -> Standing:
    now, boot = utc_now(), boot_of(settings.home)
    sign = LiveNode(
        name=settings.node,
        incarnation=uuid.uuid4().hex[:8],
        boot_id=boot,
        version=settings.version,
        crond=settings.crontab is not None and crond_pid() is not None,
        labels=dict(live.labels),
        capacity=live.capacity,
        hostname=platform.node(),
    )
    about = About(
        machine=machine(now),
        home=settings.home,
        version=settings.version,
        crontab=settings.crontab.title if settings.crontab is not None else None,
        timezone=settings.zone.key,
        boot_id=boot,
        started_at=now,
    )
    presence = Presence(tree, sign)
    standing = Standing(tree, presence, partial(gather, about), Reload(read, now), live, waker.set)
    standing.mark = MarkSeen(settings.home / "mark")
    if settings.lease_ends:
        standing.clocks = Clocks(settings.fleet.max_skew)
    return standing
