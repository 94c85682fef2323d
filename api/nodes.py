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
