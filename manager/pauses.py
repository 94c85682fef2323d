"""The front desk for pauses, of a node and of the whole fleet. The leader tells the nodes of them (`pausing`)."""

from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.pauses import Pauses
from cronkeeper.common.store import nodes, pauses
from cronkeeper.manager.desk import Desk, note


def pause(desk: Desk, name: str | None, actor: str, now: datetime) -> None:
    """Let nothing begin on a node, or in the fleet where no name is given; one that is paused so far stays so.

    Raises: NotFound; Unavailable, where SQL does not answer.
    """
    _switch(desk, name, actor, now, paused=True)


def resume(desk: Desk, name: str | None, actor: str, now: datetime) -> None:
    """End that pause: what falls due from now on begins. Raises: as `pause`."""
    _switch(desk, name, actor, now, paused=False)


def fleet(desk: Desk) -> datetime | None:
    """Since when the whole fleet is paused; None where it is not. Raises: Unavailable."""
    return desk.store.transaction(pauses.fleet)


def known(desk: Desk) -> Pauses:
    """All pauses. Raises: Unavailable."""
    return desk.store.transaction(pauses.read)


def _switch(desk: Desk, name: str | None, actor: str, now: datetime, *, paused: bool) -> None:
    word = "pause" if paused else "resume"

    def work(connection: Connection) -> None:
        if name is not None:
            nodes.get(connection, name)
        change = pauses.pause if paused else pauses.resume
        if change(connection, name, now):
            what = "fleet" if name is None else "node"
            note(connection, actor, f"{what}.{word}", now, detail="" if name is None else name)

    desk.store.transaction(work, writes=True)
