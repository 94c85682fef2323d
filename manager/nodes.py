"""The front desk for nodes: adding one, and what is known of them now."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import LiveNode, Node, decode
from cronkeeper.common.store import audit, nodes
from cronkeeper.manager.desk import Desk


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as people see it. `live` and `jobs` are None where the tree does not answer."""

    node: Node
    live: LiveNode | None
    is_live: bool | None
    jobs: int | None


def add(desk: Desk, node: Node, actor: str) -> None:
    """Let a node's reports in.

    Raises:
        Conflict: a node of that name has another key.
    """

    def work(connection: Connection) -> None:
        if nodes.add(connection, node):
            now = node.added_at
            audit.add(connection, actor=actor, action="node.add", job_id=None, detail=node.name, now=now)

    desk.store.transaction(work)


def listing(desk: Desk) -> list[NodeView]:
    """Every node that was added, by name. Raises: Unavailable, where SQL does not answer."""
    return _seen(desk, desk.store.transaction(nodes.listing))


def get(desk: Desk, name: str) -> NodeView:
    """One node. Raises: NotFound; Unavailable, where SQL does not answer."""
    known = desk.store.transaction(lambda connection: nodes.get(connection, name))
    return _seen(desk, [known])[0]


def _seen(desk: Desk, known: Sequence[Node]) -> list[NodeView]:
    try:
        return _with_tree(desk, known)
    except Unavailable:
        return [NodeView(node, None, None, None) for node in known]


def _with_tree(desk: Desk, known: Sequence[Node]) -> list[NodeView]:
    signs = desk.tree.get_many([paths.live(node.name) for node in known])
    claims = desk.tree.children_many([paths.claims(node.name) for node in known])
    views = []
    for node, sign, names in zip(known, signs, claims, strict=True):
        live = decode(sign.data, LiveNode) if sign is not None else None
        views.append(NodeView(node, live, sign is not None, len(names) if names is not None else 0))
    return views
