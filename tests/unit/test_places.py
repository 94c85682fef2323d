"""Who gets the free places: first come, first served, and nobody twice before others once."""

import logging
from datetime import timedelta

import pytest
from support.samples import NOW

from cronkeeper.common.model import StartedBy
from cronkeeper.worker.places import Places

CLOCK = StartedBy.CLOCK
LATER = NOW + timedelta(seconds=1)


def key(number: int) -> tuple[int, int]:
    return number, 1


def test_those_who_came_first_have_their_turn_first_and_of_one_moment_those_due_first() -> None:
    places = Places(3)
    for number, came, due in ((1, LATER, NOW), (2, NOW, LATER), (3, NOW, NOW), (4, LATER, LATER)):
        places.wait(key(number), CLOCK, came, due)
    assert list(places.turns(0, 64).jobs) == [key(3), key(2), key(1)]
    assert places.waiting == 1
    assert list(places.turns(3, 64).jobs) == []
    assert list(places.turns(5, 64).jobs) == []


def test_a_job_that_waits_keeps_its_turn_and_what_is_to_start_it() -> None:
    places = Places(1)
    places.wait(key(1), None, NOW, NOW)
    places.wait(key(2), StartedBy.CRON, LATER, LATER)
    places.wait(key(1), CLOCK, LATER, LATER)
    places.wait(key(1), StartedBy.ADOPTION, LATER, LATER)
    assert places.turns(0, 64).jobs == {key(1): CLOCK}
    places.wait(key(1), CLOCK, LATER + timedelta(seconds=1), NOW)
    assert places.turns(0, 64).jobs == {key(2): StartedBy.CRON}


def test_a_job_that_is_gone_has_no_turn() -> None:
    places = Places(2)
    places.wait(key(1), CLOCK, NOW, NOW)
    places.drop(key(1))
    places.drop(key(7))
    assert places.waiting == 0
    places.wait(key(1), CLOCK, LATER, NOW)
    assert list(places.turns(0, 64).jobs) == [key(1)]
    assert list(places.turns(0, 64).jobs) == []


def test_each_whose_turn_it_is_has_a_place_for_sure_whatever_the_others_take() -> None:
    places = Places(4)
    for number in (1, 2):
        places.wait(key(number), CLOCK, NOW, NOW)
    turns = places.turns(0, 64)
    assert turns.places_for(key(1)) == 3
    turns.give(3)
    assert turns.places_for(key(2)) == 1
    turns.give(1)
    assert turns.places_for(key(3)) == 0


def test_nobody_who_comes_now_goes_before_those_who_wait() -> None:
    places = Places(1)
    for number in (1, 2):
        places.wait(key(number), CLOCK, NOW, NOW)
    turns = places.turns(0, 64)
    assert turns.places_for(key(3)) == 0
    assert turns.places_for(key(1)) == 1


def test_that_all_places_are_taken_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    places = Places(1)
    places.tell()
    for number in (1, 2):
        places.wait(key(number), CLOCK, NOW, NOW)
        places.tell()
    for _ in range(3):
        places.turns(0, 64)
        places.tell()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "worker.max_running" in caplog.text
