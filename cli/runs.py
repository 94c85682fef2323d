"""`cronkeeper run`: look at runs and what they wrote, and wait for their ends."""

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from . import show as shown
from .access import connected
from .cells import NOTHING, Cell, duration
from .client import Client, Lost
from .ending import Run, await_end, ended, leave, run_path, sentence
from .fields import DURATION, job_path
from .show import Thing, field, json_option

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SIZE_HEADER = "Cronkeeper-Output-Size"
CHUNK = 1024 * 1024
STATES = ("queued", "claimed", "running", "succeeded", "failed", "timed_out", "canceled", "lost", "skipped")


def took(run: Thing) -> Cell:
    """The time from its start to its end."""
    if run["started_at"] is None or run["ended_at"] is None:
        return NOTHING
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "ended_at"))
    return duration(round((ended - began).total_seconds(), 1)), ""


COLUMNS = {
    "id": field("id"),
    "state": field("state"),
    "exit code": field("exit_code"),
    "node": field("node"),
    "started by": field("started_by"),
    "started": field("started_at"),
    "took": took,
    "reason": field("reason"),
}


@click.group()
def run() -> None:
    """Look at runs and what they wrote, and wait for their ends."""


@run.command(name="list")
@click.argument("job_id", metavar="JOB")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@json_option
@connected
def list_(client: Client, job_id: str, limit: int, state: str | None, as_json: bool) -> None:
    """List the newest runs of a JOB."""
    runs = client.pages(f"{job_path(job_id)}/runs", limit, {"state": state})
    shown.many(runs, COLUMNS, as_json=as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
@connected
def show(client: Client, run_id: str, as_json: bool) -> None:
    """Show a run."""
    shown.one(f"run {run_id}", client.call("GET", run_path(run_id)).json, as_json=as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=DURATION, help="Wait no longer than this, such as 90s or 2h.")
@json_option
@connected
def wait(client: Client, run_id: str, timeout: float | None, as_json: bool) -> None:
    """Wait for the end of a run.

    The exit code is 0 where it succeeded, 5 where it did not, and 6 where it is not over in time.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = await_end(client, client.call("GET", run_path(run_id)).json, deadline)
    shown.answer(seen, sentence(seen), as_json=as_json)
    leave(seen)


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("--stderr", is_flag=True, help="What it wrote to its standard error instead.")
@connected
def output(client: Client, run_id: str, stderr: bool) -> None:
    """Print what a run wrote to its standard output, byte by byte."""
    stream = "stderr" if stderr else "stdout"
    answer = client.open(f"{run_path(run_id)}/{stream}")
    kept = _print(answer)
    if kept == 0:
        _say_if_never_started(client.call("GET", run_path(run_id)).json)
    size = int(answer.headers.get(SIZE_HEADER, kept))
    if size > kept:
        click.echo(f"of the {size} bytes that it wrote these are kept: {kept}", err=True)


def _say_if_never_started(run: Run) -> None:
    if ended(run) and run["started_at"] is None:
        # Of a node that vanished nobody knows what it still did.
        how = "is not known to have started" if run["state"] == "lost" else "never started"
        click.echo(f"it {how}, and there is nothing that it wrote: {sentence(run)}", err=True)


def _print(answer: "BaseHTTPResponse") -> int:
    """Print the body as it comes in; returns its size. Raises: Lost, where it breaks off."""
    from urllib3.exceptions import HTTPError

    size = 0
    try:
        for piece in answer.stream(CHUNK):
            click.echo(piece, nl=False)
            size += len(piece)
    except HTTPError as error:
        raise Lost(f"the output broke off after {size} bytes: {error}") from error
    return size
