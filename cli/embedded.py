"""Wires an embedded install: SQLite, the tree in the process, a directory of artifacts, waitress, two loops.

The worker comes first and the rest is imported while it already runs: after a crash, ticks wait for as little
as can be.
"""

import logging
import os
import pwd
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from cronkeeper.api.listen import listen
from cronkeeper.cli.home import Home, left_running
from cronkeeper.common import log as logs
from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.clock import utc_now
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.loop import run
from cronkeeper.common.model import Node
from cronkeeper.common.settings import Fleet, History
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.waker import Stop, Waker, stop_on_signals
from cronkeeper.common.zone_names import local_zone
from cronkeeper.worker.assembly import ANYONE, Assembled, Settings, assemble
from cronkeeper.worker.crontab_file import UserCrontab, crond_pid, crontab_command
from cronkeeper.worker.reporter import HttpSend
from cronkeeper.worker.worker import SPACING

if TYPE_CHECKING:
    from cronkeeper.api.server import Embedded
    from cronkeeper.common.store.store import Store

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
THREADS = 8
WAITERS = 4
"""Requests that may wait for a run's end: fewer than threads, so that the reports of nodes get through."""
BATCHES = 3
"""Batches of reports that may be in work: fewer than the threads that are left, so that people get through."""
LOOK_EVERY = 5.0
LOOP_TIMEOUT = 10.0
SIGNALS_EVERY = 1.0
"""Seconds after which a signal is seen that did not wake the main thread."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop in a thread."""

    waker: Waker
    thread: threading.Thread

    def join(self) -> None:
        """Wait for its end, once it was told to stop."""
        self.waker.set()
        self.thread.join(LOOP_TIMEOUT)


def run_embedded(path: Path, port: int) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP.

    Raises:
        CronkeeperError: it can't be started as asked; the text says what to do.
    """
    home = Home(path)
    home.take()
    listener = listen(HOST, port)
    logs.set_up("info")
    asked = Waker()
    stop = stop_on_signals(asked, signal.SIGHUP)  # its terminal was closed
    fleet = Fleet(timezone=local_zone(), run_as=_default_user())
    server = EmbeddedServer(home.tree_log)
    worker = _worker(home, server, fleet, f"http://{HOST}:{port}")
    loops = [_work(worker, stop)]
    try:
        store = _store(home)
        loops += _lead(home, store, server, fleet, stop)
        http = _serve(home, store, server, fleet, listener)
        home.keep_url(f"http://{HOST}:{port}")
        _say_ready(home, port)
        while not stop.is_set():
            asked.wait(SIGNALS_EVERY)
    finally:
        stop.set()
        for loop in loops:
            loop.join()
    _say_stopped(worker)
    worker.reporter.stop()
    http.close()
    server.close()


def _worker(home: Home, server: EmbeddedServer, fleet: Fleet, url: str) -> Assembled:
    identity = home.identity()
    key = _node_key(home)
    settings = Settings(
        node=identity.node,
        home=home.worker,
        install=identity.install,
        crontab=UserCrontab() if _has_cron() else None,
        zone=ZoneInfo(fleet.timezone),
        allow_run_as=(ANYONE,),
        fleet=fleet,
        version=version("cronkeeper"),
        lease_ends=False,
    )
    tree = server.connect()
    for folder in paths.skeleton():
        tree.ensure(folder)
    return assemble(settings, tree, DirectoryStore(home.artifacts), HttpSend(url, identity.node, key))


def _node_key(home: Home) -> NodeKey:
    if not home.node_key.exists():
        NodeKey.generate().save(home.node_key)
    return NodeKey.load(home.node_key)


def _work(assembled: Assembled, stop: Stop) -> Loop:
    def body() -> None:
        assembled.worker.start(utc_now())
        assembled.reporter.start()
        run(assembled.worker.step, assembled.waker, stop, SPACING, lambda: assembled.worker.waiting > 0)

    return _loop("worker", body, assembled.waker)


def _store(home: Home) -> "Store":
    from cronkeeper.common.store import nodes
    from cronkeeper.common.store.store import Store

    store = Store(f"sqlite:///{home.database}")
    store.upgrade()
    node = Node(name=home.identity().node, public_key=_node_key(home).public, added_at=utc_now())
    store.transaction(lambda connection: nodes.add(connection, node))
    return store


def _lead(home: Home, store: "Store", server: EmbeddedServer, fleet: Fleet, stop: Stop) -> list[Loop]:
    from cronkeeper.common.ledger import Rules
    from cronkeeper.manager.auditor import Auditor
    from cronkeeper.manager.chore import SPACING as BETWEEN_BATCHES
    from cronkeeper.manager.leader import SPACING as LEADERS_SPACING
    from cronkeeper.manager.leader import Leader
    from cronkeeper.manager.leader_rules import LeaderRules
    from cronkeeper.manager.leadership import each_of
    from cronkeeper.manager.retention import Retention

    waker, bell, audit = Waker(), Waker(), Waker()
    auditor = Auditor(server.connect(), store, Rules.of(fleet), audit.set)
    retention = Retention(store, DirectoryStore(home.artifacts), History(), bell.set)
    rules = LeaderRules(run_lease=fleet.run_lease, renew_every=LOOK_EVERY, first_grace=fleet.session_timeout)
    leader = Leader(server.connect(), store, Lease(None), rules, name="embedded", notify=waker.set)
    leader.on_reign = each_of(retention.lead, auditor.lead)
    return [
        _loop("leader", lambda: run(leader.step, waker, stop, LEADERS_SPACING), waker),
        _loop("retention", lambda: run(retention.step, bell, stop, BETWEEN_BATCHES), bell),
        _loop("auditor", lambda: run(auditor.step, audit, stop, BETWEEN_BATCHES), audit),
    ]


def _serve(
    home: Home, store: "Store", server: EmbeddedServer, fleet: Fleet, listener: socket.socket
) -> "Embedded":
    from cronkeeper.api.app import create_app
    from cronkeeper.api.identity import Identity, Role
    from cronkeeper.api.server import serve_embedded
    from cronkeeper.api.services import Services
    from cronkeeper.common import metrics
    from cronkeeper.manager.desk import Desk
    from cronkeeper.manager.tokens import find

    tokens = {Role.ADMIN: home.token(home.admin_token), Role.USER: home.token(home.user_token)}
    desk = Desk(store, server.connect(), DirectoryStore(home.artifacts))
    services = Services(
        desk=desk,
        identity=Identity(tokens, partial(find, desk)),
        timezone=fleet.timezone,
        max_waiters=WAITERS,
        max_batches=BATCHES,
        version=version("cronkeeper"),
        figures=(metrics.MANAGER, metrics.WORKER, metrics.PROCESS),
    )
    return serve_embedded(create_app(services), listener, THREADS)


def _loop(name: str, body: Callable[[], None], waker: Waker) -> Loop:
    def guarded() -> None:
        try:
            body()
        except BaseException:
            # Half a cronkeeper is none: the guard starts a whole one.
            log.exception("the %s has failed", name)
            os._exit(1)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return Loop(waker, thread)


def _default_user() -> str:
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _has_cron() -> bool:
    return crond_pid() is not None and crontab_command()


def _say_ready(home: Home, port: int) -> None:
    user = _default_user()
    me = pwd.getpwuid(os.geteuid()).pw_name
    if _has_cron():
        cron = f"cron runs here: the jobs stand in the crontab of {me}, see crontab -l"
    else:
        cron = "no cron runs here, or not for this user: the jobs start by cronkeeper's own clock"
    url = f"http://{HOST}:{port}"
    click.echo(
        f"cronkeeper is ready on {url}\n"
        f"  {cron}\n"
        f"  jobs run as {user} unless an admin says otherwise (run_as)\n"
        f"  the admin's token lies in {home.admin_token}\n"
        "  try, in a second terminal:\n"
        f"    TOKEN=$(cat {home.admin_token})\n"
        f"    curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' {url}/jobs \\\n"
        '      -d \'{"type": "command", "command": "date", "schedule": "* * * * *"}\'\n'
        f'    curl -s -H "Authorization: Bearer $TOKEN" {url}/jobs\n'
        "  Ctrl-C or `make down` stops it; running jobs go on"
    )


def _say_stopped(assembled: Assembled) -> None:
    try:
        running = assembled.worker.stop()
    except CronkeeperError as error:
        click.echo(f"cronkeeper: our lines are still in the crontab, without effect: {error}", err=True)
        return
    click.echo(f"cronkeeper has stopped, and no line of it is in the crontab; {left_running(running)}")
