"""`cronkeeper node reload`: has nodes read their configuration again, and says what became of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from . import node_view
from . import show as shown
from .access import connected
from .cells import printable
from .client import Client, Refused, Unreachable, path_to
from .show import json_option

PATIENCE = 15.0
"""Seconds that a node has to do it."""
POLL = 0.2

Node = dict[str, Any]


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every node.")
@json_option
@connected
def reload(client: Client, names: Sequence[str], all_: bool, as_json: bool) -> None:
    """Have nodes read their configuration again, and wait for what becomes of it."""
    if all_ == bool(names):
        raise click.UsageError("give the names of nodes, or --all")
    wanted = [node["name"] for node in client.call("GET", "/nodes").json] if all_ else names
    requests, codes = {}, []
    for name in dict.fromkeys(wanted):
        try:
            requests[name] = client.call("POST", f"{path_to('nodes', name)}/reload").json["request"]
        except Refused as error:
            click.echo(f"{name}: {error.message.removeprefix(f'node {name} ')}", err=True)
            codes.append(error.exit_code)
    done = await_all(client, requests)
    codes += [code for name in requests if (code := say(name, done.get(name), as_json=as_json))]
    if as_json:
        shown.answer(list(done.values()), "", as_json=True)
    if codes:
        click.get_current_context().exit(codes[-1])


def await_all(client: Client, requests: Mapping[str, str], patience: float = PATIENCE) -> dict[str, Node]:
    """The nodes that have done it within `patience` seconds, in the order of the requests."""
    done: dict[str, Node] = {}
    deadline = time.monotonic() + patience
    while len(done) < len(requests) and time.monotonic() < deadline:
        for name in requests.keys() - done.keys():
            node = client.call("GET", path_to("nodes", name)).json
            configuration = node["facts"]["configuration"] if node["facts"] is not None else None
            if configuration is not None and configuration["request"] == requests[name]:
                done[name] = node
        if len(done) < len(requests):
            time.sleep(POLL)
    return {name: done[name] for name in requests if name in done}


def say(name: str, node: Node | None, *, as_json: bool) -> int:
    """One line on a node. Returns the exit code for it."""
    if node is None:
        click.echo(f"{name}: has not answered within {PATIENCE:.0f} s, and may do it yet", err=True)
        return Unreachable.exit_code
    configuration = node["facts"]["configuration"]
    refused = configuration["error"] is not None
    if refused or not as_json:
        click.echo(printable(node_view.reloaded(name, configuration)), err=refused)
    return Refused.exit_code if refused else 0
