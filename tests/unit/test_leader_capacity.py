"""The leader, stepped by hand: a node takes as many jobs as it says, and what finds no room waits for some."""

from datetime import timedelta

from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, SSD, TICK, MakeFleet, look
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import Job, RunState


def take(fleet: Fleet, name: str, capacity: int) -> None:
    """Let the node take so many jobs: its daemon is started again."""
    fleet.machines[name].capacity = capacity
    fleet.restart(name)
    look(fleet)


def where(fleet: Fleet, *jobs: Job) -> list[str | None]:
    return [fleet.job(job).assigned_node for job in jobs]


def said(fleet: Fleet, job: Job) -> str | None:
    return fleet.job(job).placement


def small(make_fleet: MakeFleet, *capacities: int) -> Fleet:
    """alpha, beta and so on, which take so many jobs."""
    fleet = make_fleet(*("alpha", "beta", "gamma")[: len(capacities)])
    for name, capacity in zip(fleet.machines, capacities, strict=True):
        fleet.machines[name].capacity = capacity
        fleet.restart(name)
    look(fleet)
    return fleet


def test_a_node_takes_as_many_jobs_as_it_says_and_the_others_wait_and_say_why(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 2, 1)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(5)]
    fleet.go(3)
    assert where(fleet, *jobs) == ["alpha", "beta", "alpha", None, None]
    assert said(fleet, jobs[3]) == "every node that will do is full: alpha (capacity 2), beta (capacity 1)"
    assert said(fleet, jobs[0]) is None


def test_only_the_nodes_that_will_do_are_named(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 0, 1)
    fleet.label("beta", **SSD)
    look(fleet)
    jobs = [fleet.submit(schedule=NEVER, requires=SSD) for _ in range(2)]
    fleet.go(3)
    assert said(fleet, jobs[1]) == "every node that will do is full: beta (capacity 1)"


def test_a_job_that_waits_for_room_gets_that_of_a_job_that_goes(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 1)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(2)]
    fleet.go(3)
    fleet.remove(jobs[0])
    look(fleet)
    assert where(fleet, jobs[1]) == ["alpha"]
    assert said(fleet, jobs[1]) is None
    assert complaints(fleet) == []


def test_a_job_that_waits_for_room_is_placed_when_a_node_takes_more_or_comes(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 1, 1)
    fleet.power_off("beta")
    fleet.go(30)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(3)]
    fleet.go(3)
    assert where(fleet, *jobs) == ["alpha", None, None]
    take(fleet, "alpha", 2)
    assert where(fleet, *jobs) == ["alpha", "alpha", None]
    fleet.work("beta")
    look(fleet)
    assert where(fleet, *jobs) == ["alpha", "alpha", "beta"]
    assert complaints(fleet) == []


def test_a_node_that_takes_less_than_it_holds_keeps_what_it_has(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    jobs = [fleet.submit(schedule=NEVER) for _ in range(4)]
    fleet.go(3)
    before = fleet.claims()
    take(fleet, "alpha", 1)
    look(fleet)
    assert fleet.claims() == before
    fleet.edit(jobs[0])
    more = fleet.submit(schedule=NEVER)
    fleet.go(3)
    assert where(fleet, jobs[0], more) == ["alpha", "beta"]
    assert complaints(fleet) == []


def test_what_a_dead_node_leaves_waits_for_room_and_loses_no_tick(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 1, 1)
    job, other = fleet.submit(schedule=EACH_MINUTE, node="alpha"), fleet.submit(schedule=NEVER)
    fleet.go(2)
    fleet.change(job, node=None)
    fleet.machines["alpha"].run_seconds = 300
    fleet.until(TICK + timedelta(seconds=20))
    assert where(fleet, job, other) == ["alpha", "beta"]
    fleet.power_off("alpha")
    fleet.go(40)
    assert fleet.claim(job)[0] == "alpha"
    assert said(fleet, job) == "every node that will do is full: beta (capacity 1)"
    fleet.go(60)
    assert fleet.runs()[RUN].state is RunState.LOST
    take(fleet, "beta", 2)
    assert where(fleet, job) == ["beta"]
    assert said(fleet, job) is None
    fleet.go(30)
    assert fleet.machines["beta"].starts
    assert fleet.claim(job)[1].unfinished == ()


def test_a_job_that_must_leave_and_finds_no_room_is_parked_until_there_is_some(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 0, 1)
    job, other = fleet.submit(schedule=EACH_MINUTE, node="alpha"), fleet.submit(schedule=NEVER, node="beta")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(job, node="beta")
    fleet.go(5)
    assert where(fleet, job) == [None]
    assert said(fleet, job) == "every node that will do is full: beta (capacity 1)"
    assert fleet.desk.tree.children(paths.PARKED) == [f"{job.id}.1"]
    fleet.go(60)
    fleet.remove(other)
    look(fleet)
    assert where(fleet, job) == ["beta"]
    fleet.go(10)
    assert fleet.starts()[:2] == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_job_that_waits_for_its_run_takes_no_room_from_one_that_can_go(make_fleet: MakeFleet) -> None:
    fleet = small(make_fleet, 0, 1)
    fleet.machines["alpha"].run_seconds = 300
    busy, idle = fleet.submit(schedule=EACH_MINUTE, node="alpha"), fleet.submit(schedule=NEVER, node="alpha")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(busy, node="beta")
    fleet.change(idle, node="beta")
    fleet.go(20)
    assert where(fleet, busy, idle) == ["alpha", "beta"]
    full = "every node that will do is full: beta (capacity 1)"
    assert said(fleet, busy) == f"leaves node alpha when run {RUN} has ended: {full}"
