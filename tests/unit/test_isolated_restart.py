"""A daemon that is started again while its node is cut off: it knows what the one before it knew, and no less."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, minute, ran, succeeded
from support.labelled import TICK

LATER = ALONE | {"schedule": "*/5 * * * *"}


def restart_alone(fleet: Fleet) -> None:
    """Start the daemon again; it does not reach the tree."""
    fleet.restart("alpha")
    cut(fleet)


def cut_at_the_claim_of(fleet: Fleet, tick: timedelta) -> None:
    """Cut the node off as the tick is claimed: nobody can tell whether that landed."""
    tree = fleet.daemons["alpha"].tree
    commit_many = tree.commit_many

    def lost(batches: Sequence[Any]) -> Any:
        if fleet.time.now >= TICK + tick:
            cut(fleet)
        return commit_many(batches)

    tree.commit_many = lost  # type: ignore[method-assign]


def test_a_record_of_a_job_that_nothing_was_claimed_of_yet_is_gone_on_from(fleet: Fleet) -> None:
    fleet.submit(**LATER)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 3)
    restart_alone(fleet)
    minute(fleet, 6)
    assert fleet.starts() == ran(5)
    heal(fleet)
    minute(fleet, 7)
    succeeded(fleet, 5)


def test_a_record_of_a_claim_that_may_have_landed_is_gone_on_from(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    fleet.machines["alpha"].run_seconds = 40.0
    minute(fleet, 1)
    cut_at_the_claim_of(fleet, timedelta(minutes=1))
    fleet.until(TICK + timedelta(minutes=1, seconds=15))
    assert fleet.starts() == ran(1, 2)
    restart_alone(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 2, 3, 4)
    heal(fleet)
    minute(fleet, 5)
    fleet.go(25)
    succeeded(fleet, 1, 2, 3, 4, 5)
