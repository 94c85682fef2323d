"""A daemon that is started again while its node is cut off: it knows what the one before it knew, and no less."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, minute, ran, succeeded
from support.labelled import TICK
from support.promise import complaints

from cronkeeper.common.coordination import paths

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


def test_a_paused_node_stays_paused_when_its_daemon_is_started_again(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.pause("alpha")
    minute(fleet, 2)
    cut(fleet)
    minute(fleet, 4)
    restart_alone(fleet)
    minute(fleet, 7)
    assert fleet.starts() == ran(1)
    heal(fleet)
    minute(fleet, 9)
    assert fleet.starts() == ran(1)
    assert complaints(fleet) == []


def test_a_pause_that_is_heard_of_between_two_cuts_is_known_to_the_next_daemon(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 2)
    fleet.pause("alpha")
    fleet.go(25)
    pausing = fleet.daemons["alpha"].worker._pausing  # type: ignore[union-attr]
    heard = pausing.heard

    def heard_and_cut() -> None:
        heard()
        cut(fleet)

    pausing.heard = heard_and_cut
    heal(fleet)
    fleet.go(2)
    assert pausing.goes_on
    restart_alone(fleet)
    minute(fleet, 6)
    assert fleet.starts() == ran(1, 2)


def test_nothing_goes_on_before_it_is_known_whether_the_node_is_paused(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.pause("alpha")
    minute(fleet, 3)
    fleet.restart("alpha")
    tree = fleet.daemons["alpha"].tree
    get_many = tree.get_many

    def lost(wanted: Sequence[str]) -> Any:
        if paths.pause("alpha") in wanted:
            cut(fleet)
        return get_many(wanted)

    tree.get_many = lost  # type: ignore[method-assign]
    minute(fleet, 6)
    assert fleet.starts() == ran(1)


def test_a_clock_that_is_known_to_be_wrong_is_so_for_the_next_daemon(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 2)
    fleet.machines["alpha"].wall_offset = 600.0
    fleet.go(60)
    assert fleet.starts() == ran(1, 2)
    restart_alone(fleet)
    fleet.go(60)
    assert fleet.starts() == ran(1, 2)
    fleet.machines["alpha"].wall_offset = 0.0
    minute(fleet, 6)
    assert fleet.starts() == ran(1, 2, 4, 5, 6)
    heal(fleet)
    minute(fleet, 7)
    assert fleet.starts() == ran(1, 2, 4, 5, 6, 7)
    assert complaints(fleet) == []


def test_by_a_clock_that_was_never_measured_nothing_goes_on(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.stop("alpha")
    fleet.machines["alpha"].wall_offset = 20.0
    fleet.work("alpha")
    standing = fleet.daemons["alpha"].worker._parts.standing  # type: ignore[union-attr]
    standing.may_claim = lambda *_: cut(fleet)  # type: ignore[assignment, func-returns-value]
    minute(fleet, 4)
    assert fleet.starts() == ran(1)
