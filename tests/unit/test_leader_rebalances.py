"""The leader, stepped by hand: nodes that have many jobs give a few to those that have few, and no run notices."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from support.fleet import Fleet
from support.labelled import NEVER, RUN, TICK, MakeFleet, look
from support.promise import complaints

from cronkeeper.common.model import Concurrency, Job

RUNNING = "1 * * * *"


def uneven(make_fleet: MakeFleet, count: int, *others: str, **job: object) -> tuple[Fleet, list[Job]]:
    """alpha has all the jobs, and beta, with the others if there are more, none: they come right afterwards."""
    fleet = make_fleet("alpha", "beta", *others)
    for name in ("beta", *others):
        fleet.power_off(name)
    fleet.go(8)
    fields = {"schedule": NEVER} | job
    jobs = [fleet.submit(**fields) for _ in range(count)]
    fleet.go(3)
    for name in ("beta", *others):
        fleet.work(name)
    fleet.go(1)
    return fleet, jobs


def loads(fleet: Fleet) -> Counter[str]:
    return Counter(node for node, _ in fleet.claims())


def each_minute(fleet: Fleet, minutes: int) -> list[int]:
    """How many jobs alpha has after each of the next minutes."""
    seen = []
    for _ in range(minutes):
        fleet.go(60)
        seen.append(loads(fleet)["alpha"])
    return seen


def test_one_in_twenty_of_a_nodes_jobs_leaves_it_each_minute_until_it_is_even(make_fleet: MakeFleet) -> None:
    fleet, jobs = uneven(make_fleet, 44)
    seen = [44, *each_minute(fleet, 20)]
    gone = [before - after for before, after in pairwise(seen)]
    assert all(0 <= left <= max(1, before // 20) for before, left in zip(seen, gone, strict=False))
    assert gone[:4] == [2, 2, 2, 1], "it goes on each minute"
    assert seen[-1] - (44 - seen[-1]) <= 1
    before = fleet.claims()
    fleet.go(300)
    assert fleet.claims() == before
    assert {fleet.job(job).placement for job in jobs} == {None}
    assert complaints(fleet) == []


def test_a_new_leader_moves_nothing_in_its_first_minute(make_fleet: MakeFleet) -> None:
    fleet, _ = uneven(make_fleet, 40)
    fleet.go(60)
    assert loads(fleet)["alpha"] == 38
    fleet.restart("first")
    fleet.go(55)
    assert loads(fleet)["alpha"] == 38
    fleet.go(20)
    assert loads(fleet)["alpha"] == 37


@pytest.mark.parametrize("concurrency", Concurrency)
def test_a_job_with_a_run_stays_and_another_goes_in_its_place(
    make_fleet: MakeFleet, concurrency: Concurrency
) -> None:
    """The first six, which would be the first to go, run for long, and do not rest for that."""
    fleet, _ = uneven(make_fleet, 6, schedule=RUNNING, concurrency=concurrency)
    fleet.machines["alpha"].run_seconds = 400
    idle = [fleet.submit(schedule=NEVER, node="alpha") for _ in range(4)]
    fleet.until(TICK + timedelta(seconds=3))
    for job in idle:
        fleet.change(job, node=None)
    fleet.go(250)
    on_beta = {name.job_id for node, name in fleet.claims() if node == "beta"}
    assert on_beta == {job.id for job in idle}
    assert len(fleet.machines["alpha"].running) == 6
    fleet.go(400)
    assert complaints(fleet) == []


@pytest.mark.parametrize("at", range(6, 11))
def test_a_tick_that_is_claimed_after_the_leaders_look_keeps_its_job_there(
    make_fleet: MakeFleet, at: int
) -> None:
    """The tick is claimed at any call of the leader from its look at the claims to its move, or just after it."""
    fleet, (job, *_) = uneven(make_fleet, 3, schedule=RUNNING)
    fleet.machines["alpha"].run_seconds = 30
    fleet.until(TICK - timedelta(seconds=0.1))
    tree, leads, seen = fleet.daemons["first"].tree, fleet.loops.pop("first"), []
    it_is_time(fleet)

    def claim_first(call: str, carry_out: Callable[[], object]) -> object:
        seen.append(call)
        if len(seen) == at + 1:
            tree.faults = None
            fleet.go(1)
        return carry_out()

    tree.faults = claim_first  # type: ignore[assignment]
    leads.step(fleet.time.now)
    tree.faults = None
    assert fleet.claim(job)[0] == ("beta" if "commit" in seen[:-1] else "alpha")
    fleet.loops["first"] = leads
    fleet.go(60)
    assert fleet.starts().count(RUN) == 1
    assert complaints(fleet) == []


def it_is_time(fleet: Fleet) -> None:
    """The leader evens out with its next round."""
    leader = fleet.daemons["first"].leader
    assert leader is not None
    assert leader._rebalance is not None
    leader._rebalance._next = 0.0


def test_no_node_gets_more_than_it_takes_and_none_that_will_not_do(make_fleet: MakeFleet) -> None:
    fleet, jobs = uneven(make_fleet, 8, "gamma")
    fleet.machines["gamma"].capacity = 1
    fleet.restart("gamma")
    for job in jobs[:4]:
        fleet.change(job, requires={"disk": "ssd"})
    fleet.label("alpha", disk="ssd")
    each_minute(fleet, 8)
    counts = loads(fleet)
    assert (counts["alpha"], counts["gamma"]) == (4, 1)
    assert {fleet.claim(job)[0] for job in jobs[:4]} == {"alpha"}
    assert complaints(fleet) == []


def test_while_a_node_is_drained_or_has_just_died_nothing_else_moves(make_fleet: MakeFleet) -> None:
    fleet, _ = uneven(make_fleet, 20, "gamma")
    fleet.machines["gamma"].run_seconds = 200
    fleet.submit(schedule=RUNNING, node="gamma")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.drain("gamma")
    assert each_minute(fleet, 3) == [20, 20, 20], "gamma's job waits for its run"
    fleet.go(60)
    fleet.power_off("gamma")
    assert each_minute(fleet, 2)[-1] < 20, "it has none any more"


def test_a_dead_node_whose_job_nobody_else_may_have_holds_nothing_up_for_ever(make_fleet: MakeFleet) -> None:
    fleet, _ = uneven(make_fleet, 20, "gamma")
    fleet.submit(schedule=NEVER, node="gamma")
    fleet.go(3)
    fleet.power_off("gamma")
    fleet.go(60)
    assert loads(fleet)["alpha"] == 20
    fleet.go(70)
    assert loads(fleet)["alpha"] < 20


def test_a_node_that_is_undrained_gets_its_share_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    for _ in range(8):
        fleet.submit(schedule=NEVER)
    fleet.go(3)
    fleet.drain("beta")
    look(fleet)
    assert loads(fleet) == {"alpha": 8}
    fleet.undrain("beta")
    each_minute(fleet, 6)
    assert loads(fleet) == {"alpha": 4, "beta": 4}
    assert complaints(fleet) == []
