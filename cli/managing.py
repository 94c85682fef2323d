"""A manager of a cluster: the leader's loop, and beside it the one that removes what is old."""

import os
import socket
import threading
from datetime import datetime
from pathlib import Path

from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.loop import run
from cronkeeper.common.settings import Config
from cronkeeper.common.waker import HungUp, Stop, Waker, stop_on_signals
from cronkeeper.manager.leader import SPACING, Leader, LeaderRules
from cronkeeper.manager.retention import SPACING as BETWEEN_BATCHES
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
    leader = Leader(tree, store, Lease(fleet.session_timeout), rules, name=name, notify=waker.set)
    leader.on_reign = retention.lead
    _remove_what_is_old(retention, bell, stop)
    reread = rereading.of_manager(path, config)

    def step(now: datetime) -> float:
        if hung_up() and (history := reread()) is not None:
            retention.limits = history
        return leader.step(now)

    run(step, waker, stop, SPACING)
    tree.close()


def _remove_what_is_old(retention: Retention, bell: Waker, stop: Stop) -> None:
    between = (retention.step, bell, stop, BETWEEN_BATCHES)
    threading.Thread(target=run, args=between, name="retention", daemon=True).start()
