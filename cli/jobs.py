"""`cronkeeper job`: create, look at, change, run and remove jobs."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import click

from . import job_view
from . import show as shown
from .access import connected
from .client import Client, Missing, Outdated, Refused
from .ending import await_end, leave, run_path, sentence
from .fields import CLEARED, DURATION, TYPES, fields, job_options, job_path
from .ledger import ledger
from .show import json_option
from .upload import put_first

LONGEST_WAIT = 60.0
"""Seconds that the API lets one request wait."""
SORTS = ("id", "-id", "name", "-name", "updated_at", "-updated_at")
STATUSES = ("scheduled", "finished", "error")
ADDED_TO = ("env", "requires")
"""To what the job has of these an edit adds, unless they are cleared before."""
several = click.argument("job_ids", metavar="ID...", nargs=-1, required=True)

Job = dict[str, Any]


@click.group()
def job() -> None:
    """Create, look at, change, run and remove jobs."""


job.add_command(ledger)


@job.command()
@job_options
@json_option
@connected
def create(client: Client, as_json: bool, **given: Any) -> None:
    """Create a job that runs a COMMAND, a SCRIPT or a BINARY."""
    made = fields(given)
    if "type" not in made:
        raise click.UsageError("give what to run: --command, --script or --binary")
    if "schedule" not in made:
        made["schedule"] = "@once" if "at" in made else None
    created = client.create("/jobs", put_first(client, made)).json
    shown.answer(created, f"{job_view.title(created)}, is created", as_json=as_json)


@job.command(name="list")
@click.option("--status", type=click.Choice(STATUSES), help="Only those.")
@click.option("--type", type=click.Choice(TYPES), help="Only those.")
@click.option("--node", help="Only those that this node has.")
@click.option("--name", help="Only those with this in their names.")
@click.option("--enabled/--disabled", default=None, help="Only those whose schedule counts, or does not.")
@click.option("--sort", type=click.Choice(SORTS), help="By what, else by id; with - before it backwards.")
@click.option("--limit", type=click.IntRange(min=1), help="How many at most; else all.")
@json_option
@connected
def list_(client: Client, limit: int | None, as_json: bool, **filters: Any) -> None:
    """List jobs."""
    if filters["enabled"] is not None:
        filters["enabled"] = str(filters["enabled"]).lower()
    shown.many(client.pages("/jobs", limit, filters), job_view.COLUMNS, as_json=as_json)


@job.command()
@click.argument("job_id", metavar="ID")
@json_option
@connected
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job."""
    found = client.call("GET", job_path(job_id)).json
    if as_json:
        shown.answer(found, "", as_json=True)
    else:
        copies = client.call("GET", f"{job_path(job_id)}/copies").json if found.get("copies") == "all" else ()
        rows = job_view.rows(found, _reason(client, found["last_run"]), copies)
        shown.sheet(job_view.title(found), rows)


def _reason(client: Client, last_run: dict[str, Any] | None) -> str | None:
    """Why its last run is as it is, where that is known: a job does not say so itself."""
    if last_run is None or last_run["state"] == "succeeded":
        return None
    try:
        reason: str | None = client.call("GET", run_path(last_run["id"])).json["reason"]
    except Missing:  # it was removed meanwhile
        return None
    return reason


@job.command()
@click.argument("job_id", metavar="ID")
@job_options
@click.option(
    "--clear", multiple=True, type=click.Choice(list(CLEARED)), help="Take this away from it; repeatable."
)
@json_option
@connected
def edit(client: Client, job_id: str, clear: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Change what is given of a job; without options, in your editor.

    With --env and --requires the others of their kind stay; all other options replace what there was.
    """
    asked = bool(clear) or any(value not in (None, ()) for value in given.values())
    changes = _changes(clear, fields(given))
    read = client.call("GET", job_path(job_id))
    before = read.json
    for several in ADDED_TO:
        if several in changes and several not in clear:
            changes[several] = before[several] | changes[several]
    if changes.get("type") == before["type"]:
        del changes["type"]

    def send(changes: dict[str, Any]) -> Job:
        return _changed(client, job_id, read.headers["ETag"], put_first(client, changes))

    if asked:
        after = send(changes) if changes else None
    else:
        from .editor import edited

        after = edited(before, send)
    if after is None:
        shown.answer(before, f"{job_view.title(before)}, is as it was", as_json=as_json)
    else:
        shown.answer(after, f"{job_view.title(after)}, is changed", as_json=as_json)


def _changes(clear: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    cleared = dict(CLEARED[name] for name in clear)
    both = [name for name in clear if name not in ADDED_TO and CLEARED[name][0] in given]
    if both:
        raise click.UsageError(
            f"{both[0]} is given, and taken away by --clear {both[0]}: leave one of them out"
        )
    return cleared | given


def _changed(client: Client, job_id: str, etag: str, changes: dict[str, Any]) -> Job:
    try:
        after: Job = client.call("PATCH", job_path(job_id), changes, headers={"If-Match": etag}).json
    except Outdated as error:
        raise Outdated(
            f"somebody else has changed job {job_id} meanwhile, and nothing of yours was done: "
            f"look at it with `cronkeeper job show {job_id}` and edit it again"
        ) from error
    return after


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--name", help="The name of the new one; else the API makes one.")
@click.option("--node", help="The only node that may run it; else that of the job.")
@click.option("--at", help="When, of a job that runs once: 2030-01-31T12:00:00+01:00.")
@json_option
@connected
def duplicate(client: Client, job_id: str, as_json: bool, **other: str | None) -> None:
    """Create another job like this one."""
    body = {field: value for field, value in other.items() if value is not None}
    created = client.create(f"{job_path(job_id)}/duplicate", body).json
    shown.answer(created, f"{job_view.title(created)}, is created", as_json=as_json)


@job.command()
@several
@json_option
@connected
def rm(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Remove jobs; runs in progress go on to their ends."""

    def remove(path: str) -> Job:
        client.call("DELETE", path)
        removed: Job = client.call("GET", path).json
        return removed

    _each(job_ids, remove, "removed", as_json=as_json)


@job.command()
@several
@json_option
@connected
def pause(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Let the schedules of jobs not count until they are resumed."""
    _each(job_ids, lambda path: client.call("POST", f"{path}/pause").json, "paused", as_json=as_json)


@job.command()
@several
@json_option
@connected
def resume(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Let the schedules of jobs count again; what was missed meanwhile is not made up for."""
    _each(job_ids, lambda path: client.call("POST", f"{path}/resume").json, "resumed", as_json=as_json)


def _each(job_ids: tuple[str, ...], act: Callable[[str], Job], done: str, *, as_json: bool) -> None:
    """Do one thing to each job; a refusal is said at once and keeps none of the others from it."""
    jobs, refused = [], None
    for job_id in job_ids:
        try:
            jobs.append(act(job_path(job_id)))
        except Refused as error:
            error.show()
            refused = error
            continue
        if not as_json:
            click.echo(f"{job_view.title(jobs[-1])}, is {done}")
    if as_json:
        shown.answer(jobs, "", as_json=True)
    if refused is not None:
        click.get_current_context().exit(refused.exit_code)


@job.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--wait", type=DURATION, default=0.0, help="Wait for its end, up to this time: such as 90s or 2h."
)
@click.option("--node", help="On this one, of a job that is on all nodes.")
@json_option
@connected
def run(client: Client, job_id: str, wait: float, node: str | None, as_json: bool) -> None:
    """Run a job now.

    With --wait the exit code is 5 where the run did not succeed, and 6 where it is not over in time.
    """
    deadline = time.monotonic() + wait
    first = min(wait, LONGEST_WAIT)
    query = urlencode({"wait": f"{first:g}"} | ({} if node is None else {"node": node}))
    asked = client.create(f"{job_path(job_id)}/runs?{query}", patience=first).json
    seen = await_end(client, asked, deadline)
    shown.answer(seen, sentence(seen), as_json=as_json)
    if wait > 0:
        leave(seen)
