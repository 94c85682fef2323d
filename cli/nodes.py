"""`cronkeeper node`: add nodes, look at them, and take them out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from . import node_view
from . import show as shown
from .access import connected
from .client import Client, Refused, path_to
from .node_drain import drain, undrain
from .node_pause import pause, resume
from .node_reload import reload
from .show import field, json_option

COLUMNS = {
    "name": field("name"),
    "live": field("live"),
    "jobs": field("jobs"),
    "capacity": node_view.capacity,
    "labels": field("labels"),
    "crond": field("crond"),
    "conditions": node_view.conditions,
    "version": field("version"),
    "added": field("added_at"),
    "drained": field("drained_at"),
    "paused": node_view.paused,
}


@click.group()
def node() -> None:
    """Add nodes, look at them, and take them out."""


@node.command(name="list")
@json_option
@connected
def list_(client: Client, as_json: bool) -> None:
    """List the nodes."""
    shown.many(client.call("GET", "/nodes").json, COLUMNS, as_json=as_json)


@node.command()
@click.argument("name")
@json_option
@connected
def show(client: Client, name: str, as_json: bool) -> None:
    """Show a node, and what is known of its machine."""
    found = client.call("GET", path_to("nodes", name)).json
    if as_json:
        shown.answer(found, "", as_json=True)
    else:
        shown.sheet(f"node {name}", node_view.rows(found))


@node.command()
@click.argument("name")
@click.option(
    "--key-file",
    required=True,
    type=click.Path(path_type=Path),
    help="A new file for the node's private key, to be brought to the node.",
)
@json_option
@connected
def add(client: Client, name: str, key_file: Path, as_json: bool) -> None:
    """Let a node in: make its key, and tell the API the public half."""
    with _new_key(key_file) as public:
        added = client.call("POST", "/nodes", {"name": name, "public_key": public}).json
    shown.answer(added, f"node {name} is added; its key is in {key_file}", as_json=as_json)


@node.command()
@click.argument("name")
@json_option
@connected
def forget(client: Client, name: str, as_json: bool) -> None:
    """Take a node that is not live out of the fleet for good: its key, its jobs and its runs."""
    client.call("DELETE", path_to("nodes", name))
    shown.answer({"name": name}, f"node {name} is forgotten; its jobs go where they may", as_json=as_json)


for word in (reload, drain, undrain, pause, resume):
    node.add_command(word)


@contextmanager
def _new_key(path: Path) -> Iterator[str]:
    """A new key pair: the private half in a new file, which goes away again where the block fails."""
    from cronkeeper.common.signing import NodeKey

    key = NodeKey.generate()
    try:
        key.save(path)
    except FileExistsError as error:
        raise Refused(f"{path} exists already: a node's key is never overwritten") from error
    except OSError as error:
        raise Refused(f"the key can't be written to {path}: {error.strerror}") from error
    try:
        yield key.public
    except BaseException:
        path.unlink(missing_ok=True)
        raise
