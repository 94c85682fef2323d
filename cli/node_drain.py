"""`cronkeeper node drain` and `undrain`: let a node have no jobs, and see what is left there; let it have some."""

import time
from typing import Any

import click

from . import show as shown
from .access import connected
from .client import Client, Unreachable, path_to
from .ending import NOT_OVER, PATIENCE
from .fields import DURATION
from .show import json_option

POLL = 1.0

Node = dict[str, Any]


@click.command()
@click.argument("name")
@click.option(
    "--wait",
    type=DURATION,
    default=0.0,
    help="Wait until nothing is left there, up to this time: such as 90s or 2h.",
)
@json_option
@connected
def drain(client: Client, name: str, wait: float, as_json: bool) -> None:
    """Let a node have no jobs: what it has goes elsewhere, each job when its runs have ended.

    With --wait the exit code is 6 where something is left there when the time is over.
    """
    deadline = time.monotonic() + wait
    seen = client.call("POST", f"{path_to('nodes', name)}/drain").json
    if wait > 0:
        seen = await_empty(client, seen, deadline)
    shown.answer(seen, sentence(seen), as_json=as_json)
    if wait > 0 and not empty(seen):
        click.get_current_context().exit(NOT_OVER)


@click.command()
@click.argument("name")
@json_option
@connected
def undrain(client: Client, name: str, as_json: bool) -> None:
    """Let a node have jobs again."""
    seen = client.call("POST", f"{path_to('nodes', name)}/undrain").json
    shown.answer(seen, f"node {name} may have jobs again", as_json=as_json)


def empty(node: Node) -> bool:
    """Whether nothing is left there. Nobody knows while the API can't tell of jobs."""
    return bool(node["jobs"] == 0 and node["runs"] == 0)


def await_empty(client: Client, node: Node, deadline: float) -> Node:
    """Say what is left whenever that is news, until nothing is, or `deadline` on the monotonic clock.

    Raises: what `Client.call` raises; Unreachable once it has been so for a minute.
    """
    answered, said = time.monotonic(), ""
    while node["drained_at"] is not None and not empty(node) and time.monotonic() < deadline:
        if (news := sentence(node)) != said:
            click.echo(news, err=True)
            said = news
        time.sleep(max(0.0, min(POLL, deadline - time.monotonic())))
        try:
            node = client.call("GET", path_to("nodes", node["name"])).json
            answered = time.monotonic()
        except Unreachable:
            if time.monotonic() > answered + PATIENCE:
                raise
    return node


def sentence(node: Node) -> str:
    """What is left there, in a line."""
    name = node["name"]
    if node["drained_at"] is None:
        return f"node {name} is not drained any more"
    if empty(node):
        return f"node {name} is drained, and nothing is left there"
    if node["jobs"] is None:
        return f"node {name} is drained; how many jobs are left there is not known now"
    waiting = "" if not node["waiting"] else f", of which {node['waiting']} wait for a run to end"
    return f"node {name} is drained; left there are jobs: {node['jobs']}{waiting}; runs: {node['runs']}"
