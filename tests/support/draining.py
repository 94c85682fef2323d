"""Fleets of alpha and beta of which alpha is drained, or has too many jobs; and what befalls them."""

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import Job

from .fleet import Fleet

NEVER = "0 0 1 1 *"


def due_on_alpha(fleet: Fleet) -> Job:
    """A job that alpha alone may have, and whose tick, half a minute after the beginning, is due in a moment."""
    job = fleet.submit(schedule="1 * * * *", node="alpha")
    fleet.go(27.9)
    return job


def drained_job(fleet: Fleet) -> Job:
    """A job that alpha alone may have, which is drained: its tick falls due meanwhile."""
    job = due_on_alpha(fleet)
    fleet.drain("alpha")
    fleet.go(10)
    return job


def uneven_jobs(fleet: Fleet) -> None:
    """Three jobs on alpha and none on beta, just before the leader looks at that."""
    for job in [fleet.submit(schedule=NEVER, node="alpha") for _ in range(3)]:
        fleet.go(1)
        fleet.change(job, node=None)
    fleet.go(54)


def drained_and_dead(fleet: Fleet, job: Job | None) -> None:
    fleet.drain("alpha")
    fleet.power_off("alpha")


def alive_again(fleet: Fleet) -> None:
    assert fleet.desk.tree.children(paths.PARKED) == ["1.1"]
    fleet.work("alpha")
    fleet.undrain("alpha")
    fleet.go(30)


def even(fleet: Fleet) -> None:
    assert {len(fleet.desk.tree.children(paths.claims(node))) for node in ("alpha", "beta")} == {1, 2}
