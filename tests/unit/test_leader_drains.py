"""The leader, stepped by hand: a drained node has no jobs, and no tick and no run is lost by that."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, SSD, TICK, MakeFleet, look, two
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import Concurrency, Job, RunState
from cronkeeper.common.store import nodes
from cronkeeper.common.store.schema import leader
from cronkeeper.manager import nodes as desk

ALONE = "node alpha, where alone it may run, is drained"


def where(fleet: Fleet, job: Job) -> tuple[str | None, str | None]:
    now = fleet.job(job)
    return now.assigned_node, now.placement


def left(fleet: Fleet, node: str) -> tuple[int | None, int | None, int]:
    """Jobs, those of them that wait for a run, and runs."""
    seen = desk.get(fleet.desk, node)
    return seen.jobs, seen.waiting, seen.runs


def test_what_a_drained_node_has_goes_elsewhere_and_new_jobs_do_not_come(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    jobs = [fleet.submit(schedule=NEVER) for _ in range(6)]
    fleet.go(3)
    fleet.drain("alpha")
    look(fleet)
    jobs += [fleet.submit(schedule=NEVER) for _ in range(2)]
    fleet.go(3)
    assert {where(fleet, job) for job in jobs} == {("beta", None)}
    assert left(fleet, "alpha") == (0, 0, 0)
    fleet.restart("alpha")
    look(fleet)
    assert left(fleet, "alpha") == (0, 0, 0)
    assert complaints(fleet) == []


def test_a_job_waits_for_its_run_and_says_so_and_the_tick_meanwhile_runs_elsewhere(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 100
    job = fleet.submit(schedule="1,2 * * * *", node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, node=None)
    fleet.drain("alpha")
    look(fleet)
    assert where(fleet, job) == ("alpha", f"moves when run {RUN} has ended: node alpha is drained")
    assert left(fleet, "alpha") == (1, 1, 1)
    fleet.until(TICK + timedelta(seconds=140))
    assert (fleet.machines["alpha"].starts, fleet.machines["beta"].starts) == ([RUN], [SECOND])
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert left(fleet, "alpha") == (0, 0, 0)
    assert complaints(fleet) == []


def test_a_job_whose_runs_go_side_by_side_leaves_at_once_and_its_run_is_still_counted(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 100
    job = fleet.submit(schedule="1 * * * *", concurrency=Concurrency.ALLOW)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.drain("alpha")
    look(fleet)
    assert where(fleet, job) == (None, "every live node that will do is drained: alpha")
    assert left(fleet, "alpha") == (0, 0, 1)
    fleet.go(100)
    assert left(fleet, "alpha") == (0, 0, 0)
    fleet.undrain("alpha")
    look(fleet)
    assert where(fleet, job) == ("alpha", None)
    assert complaints(fleet) == []


def test_what_it_alone_may_have_waits_and_comes_back_with_its_watermark(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    new = fleet.submit(schedule=NEVER)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.drain("alpha")
    look(fleet)
    later = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(2)
    assert (where(fleet, job), where(fleet, later)) == ((None, ALONE), (None, ALONE))
    assert where(fleet, new) == ("beta", None)
    assert fleet.desk.tree.children(paths.PARKED) == [f"{job.id}.1"]
    fleet.until(TICK + timedelta(seconds=75))
    fleet.undrain("alpha")
    look(fleet)
    assert (where(fleet, job), where(fleet, later)) == (("alpha", None), ("alpha", None))
    assert fleet.machines["alpha"].starts == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_label_that_only_drained_nodes_have_is_said_to_be_theirs(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    fleet.drain("beta")
    look(fleet)
    job = fleet.submit(schedule=NEVER, requires=SSD)
    fleet.go(2)
    assert where(fleet, job) == (None, "every live node that will do is drained: beta")


def test_a_run_by_hand_in_its_inbox_is_called_back_and_runs_elsewhere(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(3)
    fleet.change(job, node=None)
    fleet.go(3)
    loop = fleet.loops.pop("alpha")
    run = fleet.request(job)
    fleet.go(1)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    fleet.drain("alpha")
    fleet.go(3)
    fleet.daemons["alpha"].tree.sync()  # its worker stands still, its session does not end
    fleet.loops["first"].bell.set()
    fleet.go(3)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == []
    fleet.loops["alpha"] = loop
    look(fleet)
    assert fleet.machines["beta"].starts == [run.id]
    assert complaints(fleet) == []


def test_of_a_drained_node_that_dies_nothing_stays_there(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 300
    bound = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    free = fleet.submit(schedule=NEVER)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.drain("alpha")
    fleet.power_off("alpha")
    look(fleet)
    assert (where(fleet, bound), where(fleet, free)) == ((None, ALONE), ("beta", None))
    assert left(fleet, "alpha") == (0, 0, 1)
    fleet.go(60)
    assert left(fleet, "alpha") == (0, 0, 0)
    assert fleet.runs()[RUN].state is RunState.LOST
    fleet.machines["alpha"].run_seconds = 5
    fleet.work("alpha")
    fleet.undrain("alpha")
    look(fleet)
    assert where(fleet, bound) == ("alpha", None)
    assert complaints(fleet) == []


def test_a_node_that_was_dead_before_it_is_drained_and_then_forgotten_leaves_nothing(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=10))
    fleet.power_off("alpha")
    fleet.go(20)
    assert where(fleet, job)[0] == "alpha"
    fleet.drain("alpha")
    look(fleet)
    assert where(fleet, job) == (None, ALONE)
    fleet.forget("alpha")
    look(fleet)
    assert where(fleet, job) == (None, "there is no node alpha, where alone it may run")
    assert fleet.desk.tree.children(paths.NODES) == ["beta"]
    fleet.change(job, node=None)
    look(fleet)
    assert where(fleet, job) == ("beta", None)
    assert fleet.starts()[:2] == [RUN, SECOND]
    assert complaints(fleet) == []


def test_another_leader_goes_on_with_the_drain(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    jobs = [fleet.submit(schedule=NEVER) for _ in range(4)]
    fleet.go(3)
    fleet.stop("first")
    fleet.drain("alpha")
    fleet.go(10)
    fleet.lead("second")
    look(fleet)
    assert {where(fleet, job) for job in jobs} == {("beta", None)}
    assert complaints(fleet) == []


@pytest.mark.parametrize(("epoch", "by"), [(0, 3), (1, 1)])
def test_an_sql_of_an_earlier_day_drains_nodes_only_once_it_is_set_right(
    make_fleet: MakeFleet, epoch: int, by: int
) -> None:
    """With this leader's own epoch it is no other SQL, and the drain counts at once."""
    fleet = make_fleet("alpha", "beta")
    for _ in range(4):
        fleet.submit(schedule=NEVER)
    look(fleet)
    before = fleet.claims().keys()

    def earlier(connection: sa.Connection) -> None:
        nodes.drain(connection, "alpha", fleet.time.now)
        connection.execute(sa.update(leader).values(epoch=epoch))

    fleet.store.transaction(earlier)
    look(fleet)
    moved = fleet.claims().keys() - before
    assert [(node, name.gen.epoch) for node, name in moved] == [("beta", by)] * 2
