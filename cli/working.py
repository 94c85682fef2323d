"""The worker of a cluster's node."""

import logging
import socket
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

from cronkeeper.common import labels
from cronkeeper.common.clock import utc_now
from cronkeeper.common.facts import ConditionName, Finding
from cronkeeper.common.loop import run
from cronkeeper.common.settings import Config
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.waker import HungUp, stop_on_signals
from cronkeeper.common.zone_names import local_zone
from cronkeeper.worker.assembly import Settings, assemble
from cronkeeper.worker.guard import tell_guard
from cronkeeper.worker.machine import boot_of
from cronkeeper.worker.reporter import HttpSend
from cronkeeper.worker.worker import SPACING

from . import rereading, session_file, wiring
from .home import node_name

log = logging.getLogger(__name__)


def work(path: Path | None, config: Config, pipe: int | None) -> None:
    """Work until SIGTERM; `path` is where the configuration is read again, `pipe` leads to the guard.

    Raises: Invalid, Conflict (the home is in use), SecondWorker.
    """
    settings = settings_of(config)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    session_file.lock(settings.home)
    tell_guard(pipe, str(settings.home.resolve()))
    wiring.figures(config, "worker")
    send = HttpSend(config.api.url, settings.node, NodeKey.load(Path(config.worker.key_file)))
    kept = session_file.SessionFile(settings.home / "session", boot_of(settings.home))
    tree = wiring.tree(config, kept.read())
    read = rereading.of_worker(path, config, settings_of)
    assembled = assemble(settings, tree, wiring.artifacts(config), send, read)
    stop = stop_on_signals(assembled.waker)
    assembled.standing.hung_up = HungUp(assembled.waker)
    assembled.standing.lasting = unfenced(pipe)
    tree.listen(lambda _state: assembled.waker.set())

    def step(now: datetime) -> float:
        wait = assembled.worker.step(now)
        kept.keep(tree)
        return wait

    assembled.worker.start(utc_now())
    assembled.reporter.start()
    run(step, assembled.waker, stop, SPACING, lambda: assembled.worker.waiting > 0)
    assembled.reporter.stop()
    tree.close(keep_session=True)


def unfenced(pipe: int | None) -> Sequence[Finding]:
    """What is wrong where no pipe leads to the guard: it was started by a version that knows of no fence."""
    if pipe is not None:
        return ()
    reason = (
        "the guard is older than this worker, and ends no run when this node is cut off: restart the whole service"
        " (systemctl restart cronkeeper-worker), the runs go on meanwhile"
    )
    log.warning("%s", reason)
    return (Finding(ConditionName.NO_FENCE, reason),)


def settings_of(config: Config) -> Settings:
    """What the configuration says of a worker. Raises: Invalid."""
    node = config.worker.node if config.worker.node else node_name(socket.gethostname())
    return Settings(
        node=node,
        home=Path(config.worker.home),
        install=node,
        crontab=wiring.crontab(config),
        zone=ZoneInfo(local_zone()),
        allow_run_as=config.worker.allow_run_as,
        fleet=config.fleet,
        version=version("cronkeeper"),
        lease_ends=True,
        max_running=config.worker.max_running,
        capacity=config.worker.capacity,
        labels=labels.parse(config.worker.labels),
    )
