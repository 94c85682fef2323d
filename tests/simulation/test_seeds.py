"""A thousand fleets in trouble, each from a seed; a seed can be replayed, and what comes of it can be shrunk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.dice import throw
from simulation.planted import PLANTED
from simulation.play import play
from simulation.scenario import Deed, Event, Fault, JobPlan, NodePlan, Scenario, Strike
from simulation.shrink import shrink

from cronkeeper.common.store.store import Store

HERE = Path(__file__).parent
SEEDS = 1000
DIGEST = """
import logging, sys
sys.path.insert(0, sys.argv[1])
logging.disable(logging.CRITICAL)
from simulation import campaign
outcomes = {seed: campaign.play_seed(seed) for seed in map(int, sys.argv[2:])}
for seed in sorted(outcomes):
    print(outcomes[seed])
"""
EDIT = Event(at=75.0, what=Deed.EDIT, job=1, asks={"command": "true"})
EDITED = Scenario(
    seed=0,
    nodes=(NodePlan(name="alpha"), NodePlan(name="beta")),
    managers=("first", "second"),
    jobs=tuple(
        JobPlan(number=number, at=0.0, asks={"schedule": "* * * * *"}, lasts=(2.0,)) for number in (1, 2)
    ),
    events=(
        Event(at=20.0, what=Fault.RESTART, who="beta"),
        Event(at=35.0, what=Deed.BY_HAND, job=2),
        Event(at=50.0, what=Deed.RESUME_JOB, job=1),
        EDIT,
        Event(at=80.0, what=Strike.LOSE_REPLY, who="alpha", calls="commit"),
        Event(at=95.0, what=Fault.SILENCE, who="alpha", lasts=5.0),
    ),
    lasts=120.0,
    run_lease=20.0,
)
"""Two jobs of a fleet in little trouble, one of which is edited."""


@pytest.mark.timeout(1200)
def test_whatever_befalls_a_thousand_fleets_the_promise_holds_and_nothing_was_left_untried() -> None:
    """A seed that fails is printed, with its complaints and how to replay it."""
    command = [sys.executable, str(HERE), "--seeds", str(SEEDS), "--required"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_seed_is_the_same_history_in_any_process_and_whatever_was_played_before_it() -> None:
    """Sets of strings have another order in each process; the machine's zone is nobody's business."""
    told = [
        subprocess.run(
            [sys.executable, "-c", DIGEST, str(HERE.parent), *order],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed, zone, order in (("1", "UTC", "01234567"), ("2", "Asia/Tokyo", "76543210"))
    ]
    assert "Execution" in told[0]
    assert told[0] == told[1]


def test_a_seed_can_be_played_again_in_the_same_process(store: Store) -> None:
    first, second = play(throw(5), store), play(throw(5), store)
    assert first.history is not None
    assert first == second


def test_what_a_failing_scenario_does_not_need_is_taken_out(store: Store) -> None:
    """Of a bug that an edit is enough for; the scenario is none of the dice, which may change."""

    def fails(smaller: Scenario) -> bool:
        return bool(play(smaller, store).complaints)

    assert not fails(EDITED)
    with PLANTED["generation_the_same_always"]():
        least = shrink(EDITED, fails)
    assert least.events == (EDIT,)
    assert least.jobs == EDITED.jobs[:1]
