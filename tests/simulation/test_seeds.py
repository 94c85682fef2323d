"""A thousand fleets in trouble, each from a seed; a seed can be replayed, and what comes of it can be shrunk."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from simulation.dice import throw
from simulation.planted import PLANTED
from simulation.play import play
from simulation.scenario import Deed, Event, Scenario
from simulation.shrink import shrink

from cronkeeper.common.store.store import Store

HERE = Path(__file__).parent
SEEDS = 1000
DIGEST = """
import logging, sys
sys.path.insert(0, sys.argv[1])
logging.disable(logging.CRITICAL)
from simulation import campaign
print(*(campaign.play_seed(seed).history for seed in range(4)), sep="\\n")
"""


@pytest.mark.timeout(1200)
def test_whatever_befalls_a_thousand_fleets_the_promise_holds_and_nothing_was_left_untried() -> None:
    """A seed that fails is printed, with its complaints and how to replay it."""
    command = [sys.executable, str(HERE), "--seeds", str(SEEDS), "--required"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_seed_is_the_same_history_in_any_process() -> None:
    """Sets of strings have another order in each process."""
    told = [
        subprocess.run(
            [sys.executable, "-c", DIGEST, str(HERE.parent)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert "Execution" in told[0]
    assert told[0] == told[1]


def test_a_seed_can_be_played_again_in_the_same_process(store: Store) -> None:
    first, second = play(throw(5), store), play(throw(5), store)
    assert first.history is not None
    assert first == second


def test_what_a_failing_scenario_does_not_need_is_taken_out(store: Store) -> None:
    """The deed that is put in makes no difference, and neither do most of the others."""
    scenario = throw(4)
    deed = Event(at=50.0, what=Deed.RESUME_JOB, job=scenario.jobs[0].number)
    scenario = replace(scenario, events=tuple(sorted((*scenario.events, deed), key=lambda event: event.at)))

    def fails(smaller: Scenario) -> bool:
        return bool(play(smaller, store).complaints)

    with PLANTED["generation_the_same_always"]():
        assert fails(scenario)
        least = shrink(scenario, fails)
        assert fails(least)
    assert deed not in least.events
    assert len(least.jobs) == 1
    assert not play(least, store).complaints
