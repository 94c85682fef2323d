"""A job of which each node has a copy, and where the copies are."""

from datetime import timedelta

from cronkeeper.common.model import Copies, Job

from .fleet import Fleet
from .labelled import EACH_MINUTE

MINUTE = timedelta(minutes=1)


def everywhere(fleet: Fleet, **changes: object) -> Job:
    """A job of which each node has a copy: in a fleet of its own alpha 2, beta 3, gamma 4."""
    job = fleet.submit(**{"schedule": EACH_MINUTE, "copies": Copies.ALL, **changes})
    fleet.go(2)
    return job


def named(copy: int, minute: int) -> str:
    """The run of a copy of job 1, so many minutes after twelve."""
    return f"1.{copy}.20260301T12{minute:02}00Z.1"


def there(fleet: Fleet) -> dict[str, list[int]]:
    """The copies on each node."""
    found: dict[str, list[int]] = {}
    for node, name in fleet.claims():
        found.setdefault(node, []).append(name.copy)
    return found
