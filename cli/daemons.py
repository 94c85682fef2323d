"""The entry points of a cluster's daemons. Each reads its configuration once and wires the real parts."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cronkeeper.worker.guard import REFUSED, VARIABLE, become_guard, die_with_guard

if TYPE_CHECKING:
    from flask import Flask

    from cronkeeper.common.settings import Config
    from cronkeeper.worker.assembly import Settings


def _show_configuration(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Say what the configuration comes to, and end."""
    if not wanted:
        return
    from cronkeeper.common.config import describe
    from cronkeeper.common.errors import Invalid

    try:
        lines = describe(ctx.params.get("path"))
    except Invalid as error:
        click.echo(f"cronkeeper: {error}", err=True)
        ctx.exit(1)
    click.echo("\n".join([*lines, "# the configuration is right"]))
    ctx.exit(0)


check_option = click.option(
    "--check-config",
    is_flag=True,
    expose_value=False,
    callback=_show_configuration,
    help="Say what the configuration comes to, key by key, and end.",
)
config_option = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    envvar="CRONKEEPER_CONFIG",
    is_eager=True,
    help="The configuration file (TOML); the environment overrules it.",
)


@click.command()
@config_option
@check_option
def api(path: Path | None) -> None:
    """Serve the REST API with gunicorn."""
    _refusing(_serve, path)


@click.command()
@config_option
@check_option
def manager(path: Path | None) -> None:
    """Be a candidate for the leader, and lead when elected."""
    _refusing(_manage, path)


@click.command()
@config_option
@check_option
def worker(path: Path | None) -> None:
    """Keep this node's crontab and run its jobs; a guard starts it again when it dies."""
    if VARIABLE not in os.environ:
        command = [sys.executable, "-m", "cronkeeper.cli.main", "worker"]
        become_guard([*command, "--config", str(path)] if path is not None else command)
    die_with_guard()
    _refusing(_work, path)


@click.group()
def db() -> None:
    """The database's tables."""


@db.command()
@config_option
def upgrade(path: Path | None) -> None:
    """Bring the tables to the form that this version needs."""
    _refusing(_upgrade, path)
    click.echo("the tables are as this version needs them")


def _refusing(body: "Callable[[Config], None]", path: Path | None) -> None:
    """Run a daemon; what starting it again won't mend ends it with a sentence and a code of its own."""
    from cronkeeper.common import log
    from cronkeeper.common.config import load
    from cronkeeper.common.errors import CronkeeperError

    try:
        config = load(path)
        log.set_up(config.log.level, config.log.format)
        body(config)
    except CronkeeperError as error:
        click.echo(f"cronkeeper: {error}", err=True)
        sys.exit(REFUSED)


def _upgrade(config: "Config") -> None:
    from cronkeeper.cli import wiring

    wiring.store(config).upgrade()


def _serve(config: "Config") -> None:
    from cronkeeper.api.processes import figures_in_common

    with figures_in_common():
        _serve_with_figures(config)


def _serve_with_figures(config: "Config") -> None:
    from cronkeeper.api.app import create_app
    from cronkeeper.api.identity import Identity, Role
    from cronkeeper.api.server import gunicorn_app
    from cronkeeper.api.services import Services
    from cronkeeper.cli import wiring
    from cronkeeper.common.config import require
    from cronkeeper.manager.desk import Desk
    from cronkeeper.manager.tokens import find

    tokens = {
        Role.ADMIN: require(config.api.admin_token, "api", "admin_token"),
        Role.USER: require(config.api.user_token, "api", "user_token"),
    }

    def factory() -> "Flask":
        desk = Desk(wiring.store(config), wiring.tree(config), wiring.artifacts(config))
        return create_app(
            Services(
                desk=desk,
                identity=Identity(tokens, partial(find, desk)),
                timezone=wiring.zone(config),
                max_waiters=max(1, config.api.threads // 2),
                version=version("cronkeeper"),
            )
        )

    gunicorn_app(factory, config.api.bind.split(","), config.api.workers, config.api.threads).run()


def _manage(config: "Config") -> None:
    from cronkeeper.cli import wiring
    from cronkeeper.common.coordination.lease import Lease
    from cronkeeper.common.loop import run
    from cronkeeper.common.waker import Waker, stop_on_signals
    from cronkeeper.manager.leader import SPACING, Leader, LeaderRules
    from cronkeeper.manager.retention import SPACING as BETWEEN_BATCHES
    from cronkeeper.manager.retention import Retention

    wiring.figures(config, "manager")
    fleet = config.fleet
    waker, bell = Waker(), Waker()
    stop = stop_on_signals(waker)
    tree = wiring.tree(config)
    rules = LeaderRules(
        run_lease=fleet.run_lease, renew_every=fleet.session_timeout / 6, first_grace=fleet.session_timeout
    )
    name = config.manager.name if config.manager.name else f"{socket.gethostname()}-{os.getpid()}"
    lease = Lease(fleet.session_timeout)
    store = wiring.store(config)
    retention = Retention(store, wiring.artifacts(config), config.history, bell.set)
    leader = Leader(tree, store, lease, rules, name=name, notify=waker.set)
    leader.on_reign = retention.lead
    between = (retention.step, bell, stop, BETWEEN_BATCHES)
    threading.Thread(target=run, args=between, name="retention", daemon=True).start()
    run(leader.step, waker, stop, SPACING)
    tree.close()


def _work(config: "Config") -> None:
    from cronkeeper.cli import session_file, wiring
    from cronkeeper.common.clock import utc_now
    from cronkeeper.common.loop import run
    from cronkeeper.common.signing import NodeKey
    from cronkeeper.common.waker import stop_on_signals
    from cronkeeper.worker.assembly import assemble
    from cronkeeper.worker.reporter import HttpSend
    from cronkeeper.worker.worker import SPACING

    wiring.figures(config, "worker")
    settings = _settings(config)
    send = HttpSend(config.api.url, settings.node, NodeKey.load(Path(config.worker.key_file)))
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = session_file.SessionFile(settings.home / "session")
    tree = wiring.tree(config, kept.read())
    assembled = assemble(settings, tree, wiring.artifacts(config), send)
    stop = stop_on_signals(assembled.waker)
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


def _settings(config: "Config") -> "Settings":
    from zoneinfo import ZoneInfo

    from cronkeeper.cli import wiring
    from cronkeeper.cli.home import node_name
    from cronkeeper.common import labels
    from cronkeeper.common.schedule import local_zone
    from cronkeeper.worker.assembly import Settings

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
        labels=labels.parse(config.worker.labels),
    )
