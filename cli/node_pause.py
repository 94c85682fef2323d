"""`cronkeeper node pause` and `resume`: let nothing begin on a node, or in the whole fleet, and end that."""

import click

from . import show as shown
from .access import connected
from .client import Client, path_to
from .show import json_option

EVERY = click.option("--all", "everywhere", is_flag=True, help="The whole fleet, and nodes that join it.")


@click.command()
@click.argument("name", required=False)
@EVERY
@json_option
@connected
def pause(client: Client, name: str | None, everywhere: bool, as_json: bool) -> None:
    """Let nothing begin on a node, or with --all in the whole fleet. Jobs stay, and what runs goes on.

    Ticks that fall due are skipped as paused and are not made up for; runs by hand wait.
    """
    seen = client.call("POST", f"{_path(name, everywhere=everywhere)}/pause").json
    whom = "the fleet" if name is None else f"node {name}"
    shown.answer(seen, f"{whom} is paused; what runs goes on", as_json=as_json)


@click.command()
@click.argument("name", required=False)
@EVERY
@json_option
@connected
def resume(client: Client, name: str | None, everywhere: bool, as_json: bool) -> None:
    """End the pause of a node, or with --all that of the fleet: nodes that were paused by themselves stay so."""
    seen = client.call("POST", f"{_path(name, everywhere=everywhere)}/resume").json
    if name is None:
        said = "the fleet is resumed; nodes that were paused by themselves stay so"
    elif seen["fleet_paused_at"] is None:
        said = f"node {name} is resumed"
    else:
        said = f"node {name} is resumed, and the whole fleet is still paused: cronkeeper node resume --all"
    shown.answer(seen, said, as_json=as_json)


def _path(name: str | None, *, everywhere: bool) -> str:
    if (name is None) is not everywhere:
        raise click.UsageError("either the NAME of a node or --all")
    return "/fleet" if name is None else path_to("nodes", name)
