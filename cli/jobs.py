"""`cronkeeper job`: create, look at, run and remove jobs."""

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cronkeeper.cli import show as shown
from cronkeeper.cli.client import Client, connected
from cronkeeper.cli.show import json_option

if TYPE_CHECKING:
    from cronkeeper.common.model import RunState

ENDED_BADLY = 4
NOT_OVER = 5
LONGEST_WAIT = 60.0
"""Seconds that the API lets one request wait."""
POLL = 0.5


@click.group()
def job() -> None:
    """Create, look at, run and remove jobs."""


@job.command()
@click.option("--command", "line", help="One line for /bin/sh.")
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A script or binary, which is copied to the node.",
)
@click.option("--name", help="For people; else what is run.")
@click.option("--schedule", help="Five cron fields, or such as @daily or @once; without it: only by hand.")
@click.option("--at", help="When, once: such as 2030-01-31T12:00:00+01:00.")
@click.option("--run-as", help="The user to run as, for admins only.")
@json_option
@connected
def create(client: Client, line: str | None, script: Path | None, as_json: bool, **given: str | None) -> None:
    """Create a job that runs a COMMAND or a SCRIPT."""
    if (line is None) == (script is None):
        raise click.UsageError("give either --command or --script")
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "schedule" not in fields:
        fields["schedule"] = "@once" if "at" in fields else None
    if script is not None:
        fields |= {"type": "script", "filename": script.name, "executable": _encoded(script)}
    else:
        fields |= {"type": "command", "command": line}
    created = client.call("POST", "/jobs", fields).json
    if as_json:
        shown.one(created, as_json=True)
    else:
        click.echo(f"job {created['id']}, {created['name']}, is created")


@job.command(name="list")
@json_option
@connected
def list_(client: Client, as_json: bool) -> None:
    """List all jobs by id."""
    found: list[dict[str, Any]] = []
    path = "/jobs?limit=1000"
    while path:
        answer = client.call("GET", path)
        found += answer.json
        path = _next(answer.headers.get("Link", ""))
    columns = ("id", "name", "type", "status", "schedule", "assigned_node", "created_by")
    shown.many(found, columns, as_json=as_json)


@job.command()
@click.argument("job_id", metavar="ID")
@json_option
@connected
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job."""
    shown.one(client.call("GET", _path(job_id)).json, as_json=as_json)


@job.command()
@click.argument("job_id", metavar="ID")
@connected
def rm(client: Client, job_id: str) -> None:
    """Remove a job; a run in progress goes on to its end."""
    client.call("DELETE", _path(job_id))
    click.echo(f"job {job_id} is removed")


@job.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=0.0, help="Wait up to so many seconds for its end."
)
@json_option
@connected
def run(client: Client, job_id: str, wait: float, as_json: bool) -> None:
    """Run a job now.

    With --wait the exit code is 4 where the run did not succeed, and 5 where it is not over in time.
    """
    deadline = time.monotonic() + wait
    first = min(wait, LONGEST_WAIT)
    asked = client.call("POST", f"{_path(job_id)}/runs?wait={first:g}", patience=first).json
    seen = _await_end(client, asked, deadline)
    if as_json:
        shown.one(seen, as_json=True)
    else:
        click.echo(f"run {seen['id']}: {seen['state']}{_why(seen)}")
    if wait > 0:
        click.get_current_context().exit(_exit_code(seen))


def _await_end(client: Client, run: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Ask for the run until it has ended or time is up: the API may have had no place for one more to wait."""
    while not _state(run).final and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(POLL, left))
        run = client.call("GET", f"/runs/{quote(run['id'], safe='')}").json
    return run


def _exit_code(run: dict[str, Any]) -> int:
    state = _state(run)
    if not state.final:
        return NOT_OVER
    return 0 if state == "succeeded" else ENDED_BADLY


def _state(run: dict[str, Any]) -> "RunState":
    from cronkeeper.common.model import RunState

    return RunState(run["state"])


def _why(run: dict[str, Any]) -> str:
    if run["reason"] is not None:
        return f": {run['reason']}"
    return f" with exit code {run['exit_code']}" if run["exit_code"] is not None else ""


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _encoded(script: Path) -> str:
    try:
        return base64.b64encode(script.read_bytes()).decode()
    except OSError as error:
        raise click.UsageError(f"the script {script} can't be read: {error.strerror}") from error


def _next(link: str) -> str:
    """The path in a Link header of the next page; empty where there is none."""
    return link.split(">")[0].removeprefix("<") if 'rel="next"' in link else ""
