"""A fleet of two nodes, of which one has a label, and a look of the leader at it."""

from collections.abc import Callable
from datetime import timedelta

from .fakes import BEGIN
from .fleet import Fleet

MakeFleet = Callable[..., Fleet]

EACH_MINUTE = "* * * * *"
NEVER = "0 0 1 1 *"
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"
SECOND, THIRD = "1.1.20260301T120200Z.1", "1.1.20260301T120300Z.1"
SSD = {"disk": "ssd"}


def two(make_fleet: MakeFleet) -> Fleet:
    """alpha, and beta with an ssd."""
    fleet = make_fleet("alpha", "beta")
    fleet.label("beta", **SSD)
    fleet.go(1)
    fleet.loops["first"].bell.set()
    fleet.go(7)
    return fleet


def look(fleet: Fleet) -> None:
    """Let more time pass than the leader lets pass between two looks."""
    fleet.go(25)
