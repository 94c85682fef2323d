"""`cronkeeper job ledger`: what became of every tick of a job."""

from typing import Any
from urllib.parse import urlencode

import click

from . import show as shown
from .access import connected
from .cells import NOTHING, STYLES, Cell, duration
from .client import Client
from .fields import job_path
from .show import Thing, field, json_option

RESULTS = ("ran", "late", "skipped", "lost", "open", "unaccounted", "unknown")
_STYLES = {
    "ran": "green",
    "late": "yellow",
    "skipped": "yellow",
    "lost": "red",
    "open": "cyan",
    "unaccounted": "red",
}
_TELLING = tuple(result for result in RESULTS if result != "ran")


def _result(entry: Thing) -> Cell:
    text = entry["result"] if entry["expected"] else f"{entry['result']}, unexpected"
    return text, _STYLES.get(entry["result"], "dim")


def _state(entry: Thing) -> Cell:
    return NOTHING if entry["state"] is None else (entry["state"], STYLES.get(entry["state"], ""))


def _lateness(entry: Thing) -> Cell:
    return NOTHING if entry["lateness"] is None else (_seconds(entry["lateness"]), "")


COLUMNS = {
    "tick": field("tick"),
    "result": _result,
    "late by": _lateness,
    "state": _state,
    "node": field("node"),
    "run": field("run_id"),
    "reason": field("reason"),
}


@click.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--from", "begin", help="From this instant on, such as 2030-01-31T00:00:00Z; else the last day."
)
@click.option("--to", "end", help="Up to this instant; else now.")
@click.option("--node", help="Only the ticks of this node.")
@click.option("--all", "everything", is_flag=True, help="Also the ticks that ran in time.")
@json_option
@connected
def ledger(client: Client, job_id: str, *, everything: bool, as_json: bool, **which: str | None) -> None:
    """Tell what became of every tick of a job: of those that did not simply run, and how many did."""
    given = {"from": which["begin"], "to": which["end"], "node": which["node"]}
    given |= {"result": None if everything else ",".join(_TELLING)}
    query = {name: value for name, value in given.items() if value is not None}
    found = client.call("GET", f"{job_path(job_id)}/ledger?{urlencode(query)}").json
    if as_json:
        shown.answer(found, "", as_json=True)
        return
    if found["ticks"]:
        shown.many(found["ticks"], COLUMNS, as_json=False)
    click.echo(sentence(found))


def sentence(found: dict[str, Any]) -> str:
    """The summary, in words."""
    counts, late = found["summary"], found["summary"]["lateness"]
    some = [f"{counts[result]} {result}" for result in RESULTS if counts[result]]
    due = "1 tick was due" if counts["expected"] == 1 else f"{counts['expected']} ticks were due"
    text = due + (f": {', '.join(some)}" if some else "")
    if counts["unexpected"]:
        text += f"; {counts['unexpected']} more ran unexpectedly"
    for span in found.get("unvouched", ()):  # which an API of the version before does not tell
        text += f"; SQL was put back: not all is known of {span['from']} to {span['to']}"
    if late is not None:
        how = ", ".join(f"{name} {_seconds(late[name])}" for name in ("p50", "p99", "max"))
        text += f"; from tick to start: {how}"
    return text


def _seconds(lateness: float) -> str:
    return duration(round(lateness, 1 if lateness >= 1 else 3))
