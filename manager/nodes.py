"""The front desk for nodes: adding one, and what is known of them now."""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, Create, NodeExists, NoNode, SetData
from cronkeeper.common.coordination.tree import Node as TreeNode
from cronkeeper.common.errors import Conflict, Unavailable
from cronkeeper.common.facts import Condition, Facts
from cronkeeper.common.model import Claim, LiveNode, Node, decode, replace
from cronkeeper.common.store import nodes, pauses, runs
from cronkeeper.manager.desk import Desk, note

_TRIES = 5


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as people see it. `live` and `jobs` are None where the tree does not answer."""

    node: Node
    live: LiveNode | None
    is_live: bool | None
    jobs: int | None
    facts: Facts | None = None
    """What it said last; None also where it was not asked for."""
    conditions: tuple[Condition, ...] | None = None
    """What is wrong with it; None where it is not live, or has told nothing."""
    runs: int = 0
    """Those that go on there, as far as SQL has heard; not looked at in a list."""
    waiting: int | None = None
    """Of a drained node: how many of its jobs wait for a run there; None of others, and where the tree is away."""
    fleet_paused_at: datetime | None = None
    """Since when the whole fleet is paused, and so this node too."""


def add(desk: Desk, node: Node, actor: str) -> None:
    """Let a node's reports in.

    Raises:
        Conflict: a node of that name has another key.
    """

    def work(connection: Connection) -> None:
        if nodes.add(connection, node):
            now = node.added_at
            note(connection, actor, "node.add", now, detail=node.name)

    desk.store.transaction(work)


def forget(desk: Desk, name: str, actor: str, now: datetime) -> None:
    """Take a node out of the fleet: from now on its reports are refused, and the leader sees to what it had.

    Raises:
        NotFound: there is no such node, any more.
        Conflict: it is live.
        Unavailable: the tree, which alone knows whether it is live, or SQL does not answer.
    """

    def work(connection: Connection) -> None:
        nodes.remove(connection, name)
        note(connection, actor, "node.forget", now, detail=name)

    desk.store.transaction(lambda connection: nodes.get(connection, name))
    desk.tree.sync()
    if desk.tree.get_many([paths.live(name)])[0] is not None:
        raise Conflict(
            f"node {name} is live: stop its worker first, and wait until its session has timed out"
        )
    desk.store.transaction(work)


def listing(desk: Desk) -> list[NodeView]:
    """Every node that was added, by name. Raises: Unavailable, where SQL does not answer."""

    def work(connection: Connection) -> tuple[list[Node], datetime | None]:
        return nodes.listing(connection), pauses.fleet(connection)

    return _seen(desk, *desk.store.transaction(work))


def get(desk: Desk, name: str) -> NodeView:
    """One node, with its facts and its runs. Raises: NotFound; Unavailable, where SQL does not answer."""

    def work(connection: Connection) -> tuple[Node, int, datetime | None]:
        going_on = len(runs.unfinished_on(connection, name))
        return nodes.get(connection, name), going_on, pauses.fleet(connection)

    known, going_on, fleet_paused_at = desk.store.transaction(work)
    (seen,) = _seen(desk, [known], fleet_paused_at)
    seen = replace(seen, runs=going_on)
    try:
        (told,) = desk.tree.get_many([paths.facts(name)])
        waiting = _waiting(desk, name) if known.drained_at is not None else None
    except Unavailable:
        return seen
    return replace(seen, facts=_facts(told), waiting=waiting)


def drain(desk: Desk, name: str, actor: str, now: datetime) -> None:
    """Let the node have no jobs: it gets no new ones, and the leader sees to it that what it has goes elsewhere.

    Raises: NotFound; Unavailable, where SQL does not answer.
    """
    _switch(desk, name, actor, now, drained=True)


def undrain(desk: Desk, name: str, actor: str, now: datetime) -> None:
    """Let the node have jobs again. Raises: as `drain`."""
    _switch(desk, name, actor, now, drained=False)


def _switch(desk: Desk, name: str, actor: str, now: datetime, *, drained: bool) -> None:
    def work(connection: Connection) -> None:
        if nodes.drain(connection, name, now if drained else None):
            note(connection, actor, "node.drain" if drained else "node.undrain", now, detail=name)

    desk.store.transaction(work)


def _waiting(desk: Desk, name: str) -> int:
    """How many of its jobs list a run that goes on there."""
    (names,) = desk.tree.children_many([paths.claims(name)])
    folder = paths.claims(name)
    read = desk.tree.get_many([f"{folder}/{each}" for each in ([] if names is None else names)])
    claims = [decode(each.data, Claim) for each in read if each is not None]
    return sum(any(run.goes_on and run.node == name for run in each.unfinished) for each in claims)


def reload(desk: Desk, name: str, actor: str, now: datetime) -> str:
    """Ask the node's worker to read its configuration again; returns the request's id, by which its facts answer.

    Who asks while another request waits gets the id of that, and an answer of its own all the same.

    Raises:
        NotFound: there is no such node.
        Conflict: it is not live.
        Unavailable: the tree or SQL does not answer.
    """

    def work(connection: Connection) -> None:
        nodes.get(connection, name)
        note(connection, actor, "node.reload", now, detail=name)

    desk.store.transaction(lambda connection: nodes.get(connection, name))
    if desk.tree.get_many([paths.live(name)])[0] is None:
        raise Conflict(f"node {name} is not live: its worker reads its configuration when it is started")
    desk.store.transaction(work)
    return _request(desk, name)


def _request(desk: Desk, name: str) -> str:
    path, request = paths.reload(name), secrets.token_hex(4)
    for _ in range(_TRIES):
        try:
            desk.tree.commit([Create(path, request.encode())])
            return request
        except NodeExists:
            (known,) = desk.tree.get_many([path])
        with contextlib.suppress(NoNode, BadVersion):
            if known is not None:  # by the new version the worker sees that it has to read once more
                desk.tree.commit([SetData(path, known.data, known.version)])
                return known.data.decode()
    raise Unavailable(f"node {name} is asked by too many at once")


def _facts(told: TreeNode | None) -> Facts | None:
    try:
        return decode(told.data, Facts) if told is not None else None
    except ValueError:  # of a worker that is much older or newer
        return None


def _seen(desk: Desk, known: Sequence[Node], fleet_paused_at: datetime | None) -> list[NodeView]:
    try:
        seen = _with_tree(desk, known)
    except Unavailable:
        seen = [NodeView(node, None, None, None) for node in known]
    return [replace(each, fleet_paused_at=fleet_paused_at) for each in seen]


def _with_tree(desk: Desk, known: Sequence[Node]) -> list[NodeView]:
    signs = desk.tree.get_many([paths.live(node.name) for node in known])
    facts = desk.tree.get_many([paths.facts(node.name) for node in known])
    claims = desk.tree.children_many([paths.claims(node.name) for node in known])
    views = []
    for node, sign, told, names in zip(known, signs, facts, claims, strict=True):
        live = decode(sign.data, LiveNode) if sign is not None else None
        said = _facts(told) if live is not None else None
        wrong = said.conditions if said is not None else None
        jobs = len(names) if names is not None else 0
        views.append(NodeView(node, live, sign is not None, jobs, conditions=wrong))
    return views
