"""A manager of a cluster: the leader's loop, and beside it those that remove what is old and audit the ledger."""

import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.ledger import Rules
from cronkeeper.common.loop import run
from cronkeeper.common.settings import Config
from cronkeeper.common.waker import HungUp, Stop, Waker, stop_on_signals
from cronkeeper.manager.auditor import Auditor
from cronkeeper.manager.chore import SPACING as BETWEEN_BATCHES
from cronkeeper.manager.leader import SPACING, Leader
from cronkeeper.manager.leader_rules import LeaderRules
from cronkeeper.manager.leadership import each_of
from cronkeeper.manager.retention import Retention

from . import rereading, wiring


def manage(path: Path | None, config: Config) -> None:
    """Be a candidate until SIGTERM; `path` is where the configuration is read again. Raises: Invalid, Conflict."""
    store = wiring.fitting_store(config)
    wiring.figures(config, "manager")
    fleet = config.fleet
    waker, bell = Waker(), Waker()
    stop, hung_up = stop_on_signals(waker), HungUp(waker)
    tree = wiring.tree(config)
    rules = LeaderRules(
        run_lease=fleet.run_lease, renew_every=fleet.session_timeout / 6, first_grace=fleet.session_timeout
    )
    name = config.manager.name if config.manager.name else f"{socket.gethostname()}-{os.getpid()}"
    retention = Retention(store, wiring.artifacts(config), config.history, bell.set)
    audit = Waker()
    auditor = Auditor(tree, store, Rules.of(fleet), audit.set)
    leader = Leader(tree, store, Lease(fleet.session_timeout), rules, name=name, notify=waker.set)
    leader.on_reign = each_of(retention.lead, auditor.lead)
    _beside("retention", retention.step, bell, stop, BETWEEN_BATCHES)
    _beside("auditor", auditor.step, audit, stop, BETWEEN_BATCHES)
    reread = rereading.of_manager(path, config)

    def step(now: datetime) -> float:
        if hung_up() and (history := reread()) is not None:
            retention.limits = history
        return leader.step(now)

    run(step, waker, stop, SPACING)
    tree.close()


def _beside(name: str, step: Callable[[datetime], float], bell: Waker, stop: Stop, spacing: float) -> None:
    threading.Thread(target=run, args=(step, bell, stop, spacing), name=name, daemon=True).start()
