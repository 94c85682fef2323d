"""Nodes."""

import logging
from collections.abc import Sequence
from typing import Any

from cronkeeper.common.model import Node
from cronkeeper.manager import nodes
from cronkeeper.manager.nodes import NodeView

from . import schemas
from .access import actor, admins_only
from .blueprint import Blueprint
from .services import services

log = logging.getLogger(__name__)

blueprint = Blueprint("nodes", __name__, description="The machines of the fleet.")


@blueprint.route("/nodes", methods=["GET"])
@blueprint.response(200, schemas.NODES)
def listing() -> Sequence[NodeView]:
    """List the nodes by name"""
    return nodes.listing(services().desk)


@blueprint.route("/nodes/<name>", methods=["GET"])
@blueprint.response(200, schemas.NODE)
def show(name: str) -> NodeView:
    """Show a node"""
    return nodes.get(services().desk, name)


@blueprint.route("/nodes/<name>/reload", methods=["POST"])
@admins_only("having a node read its configuration again")
@blueprint.response(202, schemas.RELOAD)
def reload(name: str) -> dict[str, str]:
    """Have a node read its configuration again

    For admins only. The node's `facts.configuration` tells what became of it as soon as it names this `request`.
    What needs a restart of its worker stands there too; where something is wrong, all stays as it is.
    """
    request = nodes.reload(services().desk, name, actor().name, services().clock())
    log.info("node %s is asked by %s to read its configuration again", name, actor().name)
    return {"request": request}


@blueprint.route("/nodes/<name>/drain", methods=["POST"])
@admins_only("draining a node")
@blueprint.response(200, schemas.NODE)
def drain(name: str) -> NodeView:
    """Let a node have no jobs until it is undrained

    For admins only. It gets no new ones, and each that it has goes to another node as soon as none of its runs goes
    on, or waits where none will do. When `jobs` and `runs` are 0, nothing is left there.
    """
    nodes.drain(services().desk, name, actor().name, services().clock())
    log.info("node %s drained by %s", name, actor().name)
    return nodes.get(services().desk, name)


@blueprint.route("/nodes/<name>/undrain", methods=["POST"])
@admins_only("undraining a node")
@blueprint.response(200, schemas.NODE)
def undrain(name: str) -> NodeView:
    """Let a node have jobs again

    For admins only. What it alone may have comes back within seconds, and others little by little.
    """
    nodes.undrain(services().desk, name, actor().name, services().clock())
    log.info("node %s undrained by %s", name, actor().name)
    return nodes.get(services().desk, name)


@blueprint.route("/nodes/<name>", methods=["DELETE"])
@admins_only("forgetting a node")
@blueprint.response(204)
def forget(name: str) -> None:
    """Take a node out of the fleet

    For admins only, and not while it is live. Its reports are refused from then on. Within seconds its unfinished
    runs are given up as `lost`, and its jobs go to other nodes, or wait where none will do.
    """
    nodes.forget(services().desk, name, actor().name, services().clock())
    log.info("node %s forgotten by %s", name, actor().name)


@blueprint.route("/nodes", methods=["POST"])
@admins_only("adding a node")
@blueprint.arguments(schemas.NEW_NODE)
@blueprint.response(201, schemas.NODE)
def add(fields: dict[str, Any]) -> NodeView:
    """Let a node in

    For admins only. It may be repeated with the same key.
    """
    node = Node(name=fields["name"], public_key=fields["public_key"], added_at=services().clock())
    nodes.add(services().desk, node, actor().name)
    log.info("node %s added by %s", node.name, actor().name)
    return nodes.get(services().desk, node.name)
