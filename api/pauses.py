"""Pauses: of a node, and of the whole fleet."""

import logging
from datetime import datetime

from cronkeeper.manager import nodes, pauses
from cronkeeper.manager.nodes import NodeView

from . import schemas
from .access import actor, admins_only
from .blueprint import Blueprint
from .services import services

log = logging.getLogger(__name__)

blueprint = Blueprint("pauses", __name__, description="Times in which nothing begins.")

Fleet = dict[str, datetime | None]


@blueprint.route("/nodes/<name>/pause", methods=["POST"])
@admins_only("pausing a node")
@blueprint.response(200, schemas.NODE)
def pause_node(name: str) -> NodeView:
    """Let nothing begin on a node until it is resumed

    For admins only. It keeps its jobs, and what runs goes on. Ticks that fall due are skipped as `paused`, and are
    not made up for; runs by hand, and further attempts, wait. It may be repeated.
    """
    pauses.pause(services().desk, name, actor().name, services().clock())
    log.info("node %s paused by %s", name, actor().name)
    return nodes.get(services().desk, name)


@blueprint.route("/nodes/<name>/resume", methods=["POST"])
@admins_only("resuming a node")
@blueprint.response(200, schemas.NODE)
def resume_node(name: str) -> NodeView:
    """End the pause of a node

    For admins only. What falls due from now on begins. While the whole fleet is paused (`fleet_paused_at`) nothing
    begins there all the same.
    """
    pauses.resume(services().desk, name, actor().name, services().clock())
    log.info("node %s resumed by %s", name, actor().name)
    return nodes.get(services().desk, name)


@blueprint.route("/fleet", methods=["GET"])
@blueprint.response(200, schemas.FLEET)
def show() -> Fleet:
    """Say whether the whole fleet is paused"""
    return {"paused_at": pauses.fleet(services().desk)}


@blueprint.route("/fleet/pause", methods=["POST"])
@admins_only("pausing the fleet")
@blueprint.response(200, schemas.FLEET)
def pause_fleet() -> Fleet:
    """Let nothing begin on any node until the fleet is resumed

    For admins only. As with a single node, also on nodes that join meanwhile. It may be repeated.
    """
    pauses.pause(services().desk, None, actor().name, services().clock())
    log.warning("the fleet paused by %s", actor().name)
    return show()


@blueprint.route("/fleet/resume", methods=["POST"])
@admins_only("resuming the fleet")
@blueprint.response(200, schemas.FLEET)
def resume_fleet() -> Fleet:
    """End the pause of the fleet

    For admins only. Nodes that were paused by themselves stay so.
    """
    pauses.resume(services().desk, None, actor().name, services().clock())
    log.warning("the fleet resumed by %s", actor().name)
    return show()
