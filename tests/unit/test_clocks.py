"""A machine whose clock is off or is stepped: no tick is lost or doubled, and nothing starts by a wrong clock."""

import math
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import SESSION, Fleet
from support.labelled import MakeFleet
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.facts import Condition, ConditionName, Facts, Finding
from cronkeeper.common.model import LiveNode, RunState, decode
from cronkeeper.manager import nodes
from cronkeeper.worker.clocks import NO_NEW_JOBS, NOTABLE, STEP, Clocks, since
from cronkeeper.worker.standing import TELL_EVERY

NEVER = "0 0 1 1 *"
FIRST = BEGIN + timedelta(seconds=30)
SKEW = 5.0


def step_clock(fleet: Fleet, seconds: float, node: str = "alpha") -> None:
    fleet.machines[node].wall_offset = seconds


def conditions(fleet: Fleet, node: str = "alpha") -> dict[ConditionName, Condition]:
    """As people are told."""
    (seen,) = [each for each in nodes.listing(fleet.desk) if each.node.name == node]
    assert seen.conditions is not None
    return {each.name: each for each in seen.conditions}


def off(seconds: float, error: float = 0.0) -> Clocks:
    clocks = Clocks(SKEW)
    clocks.measure(seconds, error, wall=0.0, clock=0.0)
    return clocks


def test_what_a_clock_that_is_off_means() -> None:
    for seconds, found, may_claim, takes_jobs in (
        (0.0, 0, True, True),
        (NOTABLE, 0, True, True),
        (1.1, 1, True, True),
        (-1.1, 1, True, True),
        (SKEW, 1, True, True),
        (-5.1, 1, False, True),
        (NO_NEW_JOBS, 1, False, True),
        (30.1, 1, False, False),
    ):
        clocks = off(seconds)
        assert (len(clocks.findings()), clocks.may_claim, clocks.takes_jobs) == (found, may_claim, takes_jobs)


def test_what_a_slow_answer_leaves_open_is_not_held_against_the_clock() -> None:
    assert off(3.0, error=2.5).findings() == []
    assert off(7.0, error=2.5).may_claim
    assert off(32.0, error=2.5).takes_jobs


def test_a_clock_that_was_never_measured_or_was_stepped_is_not_known() -> None:
    clocks = Clocks(SKEW)
    assert not clocks.known(BEGIN, 100.0)
    clocks.measure(0.0, 0.001, wall=BEGIN.timestamp(), clock=100.0)
    assert clocks.known(BEGIN + timedelta(hours=1), 3700.0)
    for step in (STEP + 0.1, -STEP - 0.1):
        assert not clocks.known(BEGIN + timedelta(hours=1, seconds=step), 3700.0)


def test_where_the_tree_has_the_machines_own_clock_it_is_never_off() -> None:
    clocks = Clocks(math.inf)
    assert clocks.known(BEGIN, 100.0)
    clocks.measure(1e6, 0.0, wall=0.0, clock=0.0)
    assert (clocks.findings(), clocks.may_claim, clocks.takes_jobs) == ([], True, True)


def test_a_condition_keeps_its_beginning_and_has_the_newest_reason() -> None:
    first = since((), [Finding(ConditionName.CLOCK_OFF, "2 s")], BEGIN)
    later = since(first, [Finding(ConditionName.CLOCK_OFF, "3 s")], FIRST)
    assert later == (Condition(name=ConditionName.CLOCK_OFF, reason="3 s", since=BEGIN),)
    assert since(later, [], FIRST) == ()


def test_a_clock_that_is_off_is_told_at_once_and_no_more_once_it_is_right(fleet: Fleet) -> None:
    assert conditions(fleet) == {}
    step_clock(fleet, 2.5)
    fleet.go(4)
    found = conditions(fleet)[ConditionName.CLOCK_OFF]
    assert found.reason == "the clock is 2.5 s ahead of the coordination service's"
    assert abs(found.since - fleet.time.now) < timedelta(seconds=7)
    fleet.go(2 * TELL_EVERY)
    assert conditions(fleet)[ConditionName.CLOCK_OFF].since == found.since
    step_clock(fleet, 0)
    fleet.go(4)
    assert conditions(fleet) == {}


@pytest.mark.parametrize("seconds", [-7.0, 7.0, 29.0, 3600.0, -3600.0, 100_000.0])
def test_by_a_clock_that_is_off_nothing_is_started_and_then_all_of_it_once(
    fleet: Fleet, seconds: float
) -> None:
    job = fleet.submit(schedule="* * * * *", catch_up="all")
    by_hand = fleet.submit(schedule=NEVER)
    fleet.go(3)
    step_clock(fleet, seconds)
    fleet.request(by_hand)
    fleet.go(3 * 60)
    assert fleet.starts() == []
    assert (fleet.claim(job)[1].watermark, fleet.claim(job)[1].skips) == (None, ())
    step_clock(fleet, 0)
    fleet.go(20)
    states = [run.state for run in fleet.runs().values()]
    assert states == [RunState.SUCCEEDED] * 4, "three ticks, and the one by hand"
    fleet.go(60)
    assert complaints(fleet) == []


def test_what_ends_while_the_clock_is_off_is_told(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 100.0
    fleet.submit(schedule="1 * * * *")
    fleet.until(FIRST + timedelta(seconds=10))
    step_clock(fleet, 60)
    fleet.go(120)
    assert [run.state for run in fleet.runs().values()] == [RunState.SUCCEEDED]
    assert [claim.unfinished for claim in fleet.claims().values()] == [()]


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("seconds", [-4.0, 4.0])
def test_a_step_within_what_is_allowed_neither_repeats_nor_loses_a_tick(
    fleet: Fleet, seconds: float, trusted: bool
) -> None:
    fleet.daemons["alpha"].table.trusted = trusted  # type: ignore[union-attr]
    fleet.submit(schedule="* * * * *")
    for moment in (29, 31, 58, 90, 92):  # seconds after the beginning, around two ticks
        fleet.until(BEGIN + timedelta(seconds=moment))
        step_clock(fleet, seconds - fleet.machines["alpha"].wall_offset)
    fleet.until(BEGIN + timedelta(seconds=200))
    step_clock(fleet, 0)
    fleet.until(BEGIN + timedelta(seconds=280))
    ticks = [run_id.split(".")[2] for run_id in fleet.starts()]
    assert ticks == [f"20260301T12{minute:02}00Z" for minute in range(1, 6)]
    assert complaints(fleet) == []


def test_a_daemon_that_starts_with_a_wrong_clock_measures_before_it_claims(fleet: Fleet) -> None:
    fleet.submit(schedule="1 * * * *")
    fleet.go(3)
    fleet.stop("alpha")
    step_clock(fleet, 3600)
    fleet.work("alpha")
    fleet.go(60)
    assert fleet.starts() == []
    step_clock(fleet, 0)
    fleet.go(10)
    assert len(fleet.starts()) == 1


def test_a_clock_that_is_put_right_between_a_look_at_it_and_the_first_measurement(fleet: Fleet) -> None:
    fleet.submit(schedule="0 14 * * *")  # at 13:00 UTC
    fleet.go(3)
    fleet.stop("alpha")
    fleet.go(3 * SESSION)  # its session has timed out
    as_read_before = fleet.time.now + timedelta(hours=1)
    fleet.work("alpha")
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    worker.step(as_read_before)
    fleet.go(60)
    assert fleet.starts() == []


def test_a_clock_that_is_far_off_keeps_new_jobs_away_and_no_old_ones(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    old = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(7)
    step_clock(fleet, -31)
    fleet.go(10)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(3)]
    bound = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(7)
    assert {fleet.job(job).assigned_node for job in jobs} == {"beta"}
    assert fleet.job(old).assigned_node == "alpha"
    assert fleet.job(bound).placement == "every node that will do is full: alpha (its clock is off)"
    step_clock(fleet, 0)
    fleet.go(20)
    assert fleet.job(bound).assigned_node == "alpha"
    assert fleet.job(bound).placement is None
    sign = decode(fleet.desk.tree.get(paths.live("alpha")).data, LiveNode)
    assert not sign.closed


def test_an_idle_worker_whose_clock_is_off_does_not_spin(fleet: Fleet) -> None:
    fleet.machines["alpha"].max_running = 1
    fleet.hang_up("alpha")
    fleet.machines["alpha"].run_seconds = 300
    for _ in range(3):
        fleet.submit(schedule="* * * * *")
    fleet.go(60)
    assert len(fleet.starts()) == 1
    step_clock(fleet, 60)
    fleet.go(600)
    assert len(fleet.starts()) == 1
    told = decode(fleet.desk.tree.get(paths.facts("alpha")).data, Facts)
    assert told.clock_offset == 60.0
