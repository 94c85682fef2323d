"""The entry points of a cluster's daemons. Each reads its configuration once and wires the real parts."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cronkeeper.worker.guard import REFUSED, VARIABLE, become_guard, die_with_guard

if TYPE_CHECKING:
    from cronkeeper.common.settings import Config


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
    _refusing(partial(_serve, path), path)


@click.command()
@config_option
@check_option
def manager(path: Path | None) -> None:
    """Be a candidate for the leader, and lead when elected."""
    _refusing(partial(_manage, path), path)


@click.command()
@config_option
@check_option
def worker(path: Path | None) -> None:
    """Keep this node's crontab and run its jobs; a guard starts it again when it dies."""
    if VARIABLE not in os.environ:
        command = [sys.executable, "-m", "cronkeeper.cli.main", "worker"]
        become_guard([*command, "--config", str(path)] if path is not None else command)
    pipe = die_with_guard()
    _refusing(partial(_work, path, pipe), path)


@click.group()
def db() -> None:
    """The database's tables."""


@db.command()
@config_option
def upgrade(path: Path | None) -> None:
    """Bring the tables to the form that this version needs."""
    _refusing(_upgrade, path)


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

    before, now = wiring.store(config).upgrade()
    if before is None:
        click.echo(f"the tables are made, at schema version {now}")
    elif before == now:
        click.echo(f"the tables are at schema version {now}, which serves this version: nothing was done")
    else:
        click.echo(f"the tables are upgraded from schema version {before} to {now}")


def _serve(path: Path | None, config: "Config") -> None:
    from cronkeeper.cli import serving
    from cronkeeper.common.config import load

    serving.serve(config, partial(load, path))


def _manage(path: Path | None, config: "Config") -> None:
    from cronkeeper.cli import managing

    managing.manage(path, config)


def _work(path: Path | None, pipe: int | None, config: "Config") -> None:
    from cronkeeper.cli import working

    working.work(path, config, pipe)
