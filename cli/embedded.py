"""Wires an embedded install: SQLite, the tree in the process, a directory of artifacts, waitress, two loops."""

import logging
import os
import pwd
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from cronkeeper.api.app import create_app
from cronkeeper.api.identity import Identity, Role
from cronkeeper.api.server import serve_embedded
from cronkeeper.api.services import Services
from cronkeeper.cli.home import Home
from cronkeeper.common import log as logs
from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.clock import utc_now
from cronkeeper.common.config import Fleet
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.loop import run
from cronkeeper.common.model import Node
from cronkeeper.common.schedule import local_zone
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store.store import Store
from cronkeeper.common.waker import Waker
from cronkeeper.manager import nodes
from cronkeeper.manager.desk import Desk
from cronkeeper.manager.leader import Leader, LeaderRules
from cronkeeper.worker.assembly import ANYONE, Assembled, Settings, assemble
from cronkeeper.worker.crontab_file import UserCrontab, crond_pid, crontab_command
from cronkeeper.worker.reporter import HttpSend

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
THREADS = 8
WAITERS = 4
"""Requests that may wait for a run's end: fewer than threads, so that the reports of nodes get through."""
LOOK_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Thread:
    """A loop in a thread, and what stops it."""

    waker: Waker
    thread: threading.Thread

    def join(self) -> None:
        """Wait for its end."""
        self.waker.set()
        self.thread.join(10)


def run_embedded(path: Path, port: int) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        CronkeeperError: it can't be started as asked; the text says what to do.
    """
    home = Home(path)
    home.take()
    logs.set_up("info")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: stop.set())
    fleet = Fleet(timezone=local_zone(), run_as=_default_user())
    store = Store(f"sqlite:///{home.database}")
    store.upgrade()
    server = EmbeddedServer(home.tree_log)
    artifacts = DirectoryStore(home.artifacts)
    desk = Desk(store, server.connect(), artifacts)
    http = serve_embedded(create_app(_services(home, desk, fleet)), HOST, port, THREADS)
    worker = _worker(home, desk, server, fleet, f"http://{HOST}:{port}")
    loops = [_lead(store, server, fleet, stop), _work(worker, stop)]
    _say_ready(home, port)
    stop.wait()
    for loop in loops:
        loop.join()
    _say_stopped(worker)
    http.close()
    worker.reporter.stop()
    server.close()


def _services(home: Home, desk: Desk, fleet: Fleet) -> Services:
    tokens = {Role.ADMIN: home.token(home.admin_token), Role.USER: home.token(home.user_token)}
    return Services(
        desk=desk,
        identity=Identity(tokens),
        timezone=fleet.timezone,
        max_waiters=WAITERS,
        version=version("cronkeeper"),
    )


def _worker(home: Home, desk: Desk, server: EmbeddedServer, fleet: Fleet, url: str) -> Assembled:
    identity = home.identity()
    if not home.node_key.exists():
        NodeKey.generate().save(home.node_key)
    key = NodeKey.load(home.node_key)
    nodes.add(desk, Node(name=identity.node, public_key=key.public, added_at=utc_now()))
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
    return assemble(settings, server.connect(), desk.artifacts, HttpSend(url, identity.node, key))


def _lead(store: Store, server: EmbeddedServer, fleet: Fleet, stop: threading.Event) -> Thread:
    waker = Waker()
    rules = LeaderRules(run_lease=fleet.run_lease, renew_every=LOOK_EVERY, first_grace=fleet.session_timeout)
    leader = Leader(server.connect(), store, Lease(None), rules, name="embedded", notify=waker.set)
    return _thread("leader", lambda: run(leader.step, waker, stop), waker)


def _work(assembled: Assembled, stop: threading.Event) -> Thread:
    def body() -> None:
        assembled.worker.start(utc_now())
        assembled.reporter.start()
        run(assembled.worker.step, assembled.waker, stop)

    return _thread("worker", body, assembled.waker)


def _thread(name: str, body: Callable[[], None], waker: Waker) -> Thread:
    def guarded() -> None:
        try:
            body()
        except BaseException:
            # Half a cronkeeper is none: the guard starts a whole one.
            log.exception("the %s has failed", name)
            os._exit(1)

    thread = threading.Thread(target=guarded, name=name)
    thread.start()
    return Thread(waker, thread)


def _default_user() -> str:
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _has_cron() -> bool:
    return crond_pid() is not None and crontab_command()


def _say_ready(home: Home, port: int) -> None:
    user = _default_user()
    me = pwd.getpwuid(os.geteuid()).pw_name
    if _has_cron():
        cron = f"cron runs here: the jobs stand in the crontab of {me} (crontab -l shows them)"
    else:
        cron = "no cron runs here (or it does not let this user in): the jobs start by cronkeeper's own clock"
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
        f'    curl -s -H "Authorization: Bearer $TOKEN" {url}/jobs/1\n'
        "  Ctrl-C or `make down` stops it; running jobs go on"
    )


def _say_stopped(assembled: Assembled) -> None:
    try:
        running = assembled.worker.stop()
    except CronkeeperError as error:
        click.echo(f"cronkeeper: our lines are still in the crontab, without effect: {error}", err=True)
        return
    left = f"{running} running jobs go on, and the next start adopts them" if running else "no job is running"
    click.echo(f"cronkeeper has stopped: our lines are out of the crontab, {left}")
