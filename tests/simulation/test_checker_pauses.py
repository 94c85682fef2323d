"""What the checker makes of pauses of nodes and of the fleet: by histories made by hand."""

import pytest
from simulation.tale import Tale, at

ALL = [None, "a"]


@pytest.mark.parametrize("whom", ALL)
def test_what_falls_due_in_a_pause_is_rightly_skipped_and_what_does_not_is_not(whom: str | None) -> None:
    def tale(tick: int) -> Tale:
        return Tale().paused(whom, 590, 650).skipped(tick, "paused", node="a")

    assert tale(600).complaints() == []
    assert tale(660).complaints() == ["mistold", "stray"]  # the tick of 600, which began, is the stray
    assert Tale().paused(whom, 590, 599).skipped(600, "paused", node="a").complaints() == ["mistold"]
    assert Tale().paused("b", 590, 650).skipped(600, "paused", node="a").complaints() == ["mistold"]


def test_what_waited_when_the_pause_began_is_skipped_and_what_did_not_is_not() -> None:
    def tale() -> Tale:
        return Tale().paused("a", 610, 650).skipped(600, "paused", node="a")

    assert tale().complaints() == ["mistold"]
    assert tale().away("a", 590, 605).complaints() == []


@pytest.mark.parametrize("whom", ALL)
def test_nothing_begins_in_a_pause_that_is_known(whom: str | None) -> None:
    assert Tale().paused(whom, 590, 650).complaints() == ["stray"]
    assert Tale().paused(whom, 598, 650).complaints() == []
    assert Tale().paused("b", 590, 650).complaints() == []
    assert Tale().paused(whom, 590, 650).away("m1", 585, 600).complaints() == []
    by_hand = Tale().paused(whom, 610, 650)
    assert by_hand.ran(None, 640.0).complaints() == ["stray"]


def test_a_resumption_makes_up_for_nothing() -> None:
    def tale(late: float) -> Tale:
        return Tale().paused("a", 580, 630).ran(600, late)

    assert tale(32).complaints() == ["stray"]
    assert tale(32).away("b", 590, 600).complaints() == []
    assert Tale().paused("a", 580, 590).ran(600, 5).complaints() == []


def test_a_pause_gives_time_and_no_more_than_that() -> None:
    silent = Tale().paused("a", 590, None).silent(*range(600, 1200, 60))
    assert silent.complaints() == []
    silent = Tale().paused("a", 590, 700).silent(600, 660)
    assert silent.complaints() == ["missed"]


def test_a_resumption_that_was_not_heard_of_takes_what_is_older_than_on_time() -> None:
    def tale(until: float) -> Tale:
        paused = Tale().paused("a", 590, 595).skipped(600, "paused", node="a")
        return paused.away("m1", 588, until)

    assert tale(589).complaints() == ["mistold"]
    assert tale(630).complaints() == []


def test_what_was_claimed_and_waits_for_its_file_begins_in_a_pause_of_its_node_once_that_comes() -> None:
    def tale(late: float, paused: float = 610) -> Tale:
        told = Tale().paused("a", paused, 700).silent(660).ran(600, late)
        told.more["files"] = {(1, "a"): at(650)}
        return told

    assert "stray" not in tale(50).complaints()
    assert "stray" in tale(58).complaints()
    assert "stray" in tale(50, paused=590).complaints()
