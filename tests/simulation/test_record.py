"""What is written down for the checker is what happened."""

from typing import Any

from simulation.play import play
from simulation.scenario import Deed, Event, Fault, JobPlan, NodePlan, Scenario

from cronkeeper.common.store.store import Store

ALPHA = "alpha"


def scenario(*events: Event, **job: Any) -> Scenario:
    """A node and a job that is due half a minute after the begin."""
    said = {"schedule": "1 * * * *", "concurrency": "allow"}
    return Scenario(
        seed=0,
        nodes=(NodePlan(name=ALPHA),),
        managers=("first",),
        jobs=(JobPlan(number=1, at=0.0, asks=said, lasts=(2.0,), **job),),
        events=events,
        lasts=90.0,
        run_lease=20.0,
    )


def test_a_daemon_that_is_killed_stands_still_no_more(store: Store) -> None:
    paused = Event(at=40.0, what=Fault.PAUSE, who=ALPHA, lasts=45.0)
    outcome = play(scenario(paused, Event(at=50.0, what=Fault.RESTART, who=ALPHA, lasts=1.0)), store)
    assert outcome.history is not None
    stopped, crashed = outcome.history.trouble
    assert (stopped.what, crashed.what) == ("stopped", "crash")
    assert stopped.end == crashed.begin


def test_a_daemon_that_was_stopped_twice_stands_still_once(store: Store) -> None:
    stops = [Event(at=at, what=Fault.PAUSE, who=ALPHA, lasts=20.0) for at in (40.0, 50.0)]
    outcome = play(scenario(*stops), store)
    assert outcome.history is not None
    (stopped,) = outcome.history.trouble
    assert (stopped.end - stopped.begin).total_seconds() == 20


def test_of_what_begins_at_one_instant_the_first_one_is_the_first(store: Store) -> None:
    asked = Event(at=25.0, what=Deed.BY_HAND, job=1)
    outcome = play(scenario(asked, Event(at=35.0, what=Deed.FETCH, who=ALPHA, job=1), artifact=True), store)
    assert outcome.history is not None
    by_hand, tick = outcome.history.executions
    assert (by_hand.tick, by_hand.began) == (None, tick.began)
    assert by_hand.token < tick.token
