"""`cronkeeper up`: everything on one machine, in one process and its guard, with nothing to set up."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import click

from cronkeeper.worker.guard import REFUSED, VARIABLE, become_guard, die_with_guard

DOWN_TIMEOUT = 30.0

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where everything is kept.",
)


@click.command()
@home_option
@click.option(
    "--port", type=click.IntRange(1, 65535), default=30000, show_default=True, help="The API's, on 127.0.0.1."
)
def up(home: Path, port: int) -> None:
    """Run the API, the manager and a worker on this machine, until Ctrl-C.

    Jobs that run when it is stopped go on, and the next `up` adopts them.
    """
    home = home.absolute()
    if VARIABLE not in os.environ:
        command = [
            sys.executable,
            "-m",
            "cronkeeper.cli.main",
            "up",
            "--home",
            str(home),
            "--port",
            str(port),
        ]
        become_guard(command)
    die_with_guard()
    from cronkeeper.cli.embedded import run_embedded
    from cronkeeper.common.errors import CronkeeperError

    try:
        run_embedded(home, port)
    except CronkeeperError as error:
        click.echo(f"cronkeeper: {error}", err=True)
        sys.exit(REFUSED)
    except OSError as error:  # a full disk, or a file that is another user's
        click.echo(f"cronkeeper: {home} can't be used: {error}; mend that and start again", err=True)
        sys.exit(REFUSED)


@click.command()
@home_option
def down(home: Path) -> None:
    """Stop what `up` started, and take its lines out of the crontab. Jobs that run go on."""
    from cronkeeper.cli.home import Home, left_running
    from cronkeeper.common.errors import CronkeeperError

    try:
        place = Home(home.absolute())
        if not place.used:
            click.echo(f"nothing was ever started in {place.path}")
            return
        pid = place.holder()
        if pid is None:
            place.clear_crontab()
            left = left_running(place.unfinished())
            click.echo(f"no cronkeeper runs in {place.path}; the crontab has no lines of it; {left}")
            return
        _stop(pid, place)
    except CronkeeperError as error:
        click.echo(f"cronkeeper: {error}", err=True)
        sys.exit(1)


def _stop(pid: int, place: "Home") -> None:  # type: ignore[name-defined]  # noqa: F821
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT
    while place.holder() is not None:
        if time.monotonic() > deadline:
            told = f"process {pid} has not stopped within {DOWN_TIMEOUT:.0f} s: try again, or kill -9 {pid}"
            click.echo(f"cronkeeper: {told}; jobs go on in any case", err=True)
            sys.exit(1)
        time.sleep(0.05)
    click.echo("stopped; jobs that run go on, and the next start adopts them")
