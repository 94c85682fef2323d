"""A job that goes on where its node is cut off, and what may be true of it in the end."""

from datetime import timedelta
from typing import Any

from cronkeeper.common.model import RunState, WhenIsolated

from .fleet import Fleet
from .labelled import EACH_MINUTE, TICK
from .promise import complaints

ALONE: dict[str, Any] = {"schedule": EACH_MINUTE, "node": "alpha", "when_isolated": WhenIsolated.RUN}


def ran(*minutes: int, job: int = 1) -> list[str]:
    """The runs of the ticks so many minutes after twelve."""
    return [f"{job}.1.20260301T12{minute:02d}00Z.1" for minute in minutes]


def cut(fleet: Fleet, node: str = "alpha") -> None:
    fleet.daemons[node].tree.disconnect()


def heal(fleet: Fleet, node: str = "alpha") -> None:
    fleet.daemons[node].tree.reconnect()


def minute(fleet: Fleet, number: float) -> None:
    """Go to so many minutes and half a minute after twelve."""
    fleet.until(TICK + timedelta(minutes=number - 1, seconds=30))


def states(fleet: Fleet) -> dict[str, RunState]:
    return {run_id: run.state for run_id, run in sorted(fleet.runs().items())}


def succeeded(fleet: Fleet, *minutes: int) -> None:
    """These ticks, and no others, began once each; nothing else is told of, and nothing left open."""
    assert fleet.starts() == ran(*minutes)
    assert states(fleet) == dict.fromkeys(ran(*minutes), RunState.SUCCEEDED)
    assert complaints(fleet) == []
    assert list((fleet.machines["alpha"].home / "alone").glob("*")) == []
