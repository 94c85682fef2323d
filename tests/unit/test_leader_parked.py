"""The leader, stepped by hand: jobs for which no live node will do lose nothing while they wait for one."""

from datetime import timedelta

import pytest
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, SSD, TICK, MakeFleet, look, two
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import Claim, Concurrency, Job, RunState, decode, encode


def parked(fleet: Fleet, job: Job) -> Claim | None:
    tree = fleet.desk.tree
    names = tree.children(paths.PARKED)
    return decode(tree.get(paths.parked(job.id, 1)).data, Claim) if f"{job.id}.1" in names else None


def where(fleet: Fleet, job: Job) -> tuple[str | None, str | None]:
    now = fleet.job(job)
    return now.assigned_node, now.placement


def test_a_job_that_no_live_node_may_have_is_parked_and_its_watermark_is_kept(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=20))
    fleet.change(job, requires={"site": "berlin"})
    fleet.go(1)
    assert where(fleet, job) == (None, "no live node has the label site=berlin")
    assert fleet.claims() == {}
    assert (kept := parked(fleet, job)) is not None
    assert kept.watermark == TICK
    fleet.until(TICK + timedelta(seconds=70))
    fleet.label("beta", site="berlin")
    look(fleet)
    assert where(fleet, job) == ("beta", None)
    assert parked(fleet, job) is None
    fleet.go(10)
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_parked_job_waits_with_its_runs_by_hand_and_can_be_edited_paused_and_removed(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    jobs = [fleet.submit(schedule=NEVER) for _ in range(2)]
    fleet.go(3)
    for job in jobs:
        fleet.change(job, requires=SSD)
    fleet.go(1)
    asked = [fleet.request(job) for job in jobs]
    fleet.go(10)
    assert {run.state for run in fleet.runs().values()} == {RunState.QUEUED}
    fleet.remove(jobs[0])
    fleet.change(jobs[1], requires={}, enabled=False)
    look(fleet)
    assert parked(fleet, jobs[0]) is None
    assert where(fleet, jobs[1]) == ("alpha", None)
    assert fleet.runs()[asked[0].id].state is RunState.CANCELED
    assert fleet.starts() == [asked[1].id]
    assert complaints(fleet) == []


def test_a_new_leader_knows_what_is_parked_and_what_waits_to_leave(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 60
    leaves = fleet.submit(schedule="1 * * * *", node="alpha")
    stays = fleet.submit(schedule=NEVER, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(leaves, node="beta")
    fleet.change(stays, requires=SSD)
    fleet.go(1)
    assert parked(fleet, stays) is not None
    fleet.restart("first")
    fleet.go(10)
    assert where(fleet, leaves) == ("alpha", f"moves to node beta when run {RUN} has ended")
    lacks = "node alpha, where alone it may run, lacks the label disk=ssd"
    assert where(fleet, stays) == (None, lacks)
    fleet.go(80)
    assert where(fleet, leaves) == ("beta", None)
    fleet.label("alpha", **SSD)
    look(fleet)
    assert where(fleet, stays) == ("alpha", None)
    assert complaints(fleet) == []


def test_when_a_node_dies_its_jobs_go_where_they_may_or_wait_where_they_are_and_say_why(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta", "gamma")
    for name, disk in (("alpha", "ssd"), ("beta", "ssd"), ("gamma", "hdd")):
        fleet.label(name, disk=disk)
    look(fleet)
    fast = [fleet.submit(schedule=NEVER, requires=SSD) for _ in range(2)]
    slow = fleet.submit(schedule=EACH_MINUTE, requires={"disk": "hdd"})
    fleet.go(3)
    fleet.power_off("alpha")
    fleet.power_off("gamma")
    fleet.go(30)
    assert {fleet.claim(job)[0] for job in fast} == {"beta"}
    assert fleet.claim(slow)[0] == "gamma"
    assert where(fleet, slow) == ("gamma", "no live node has the label disk=hdd")
    fleet.work("gamma")
    look(fleet)
    assert where(fleet, slow) == ("gamma", None)
    fleet.go(60)
    assert complaints(fleet) == []


def test_a_run_that_died_with_the_only_node_that_has_the_label_is_given_up(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    fleet.machines["beta"].run_seconds = 600
    fleet.submit(schedule="1 * * * *", requires=SSD)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("beta")
    fleet.go(120)
    assert fleet.runs()[RUN].state is RunState.LOST


def test_a_run_that_goes_on_while_its_job_is_parked_leaves_the_claim_when_it_has_ended(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    fleet.machines["alpha"].run_seconds = 40
    job = fleet.submit(schedule="1 * * * *", concurrency=Concurrency.ALLOW)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, requires=SSD)
    fleet.go(1)
    assert (kept := parked(fleet, job)) is not None
    assert [run.run_id for run in kept.unfinished] == [RUN]
    fleet.go(60)
    assert parked(fleet, job) == Claim(watermark=TICK)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED


def test_a_job_that_waits_to_leave_a_node_that_dies_waits_there_like_any_other(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 600
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, requires=SSD, node=None)
    fleet.go(1)
    fleet.power_off("alpha")
    fleet.go(30)
    assert parked(fleet, job) is None
    assert where(fleet, job) == ("alpha", "no live node has the label disk=ssd")
    fleet.label("beta", **SSD)
    fleet.go(100)
    assert where(fleet, job) == ("beta", None)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert complaints(fleet) == []


def test_the_claim_of_a_job_that_sql_does_not_know_is_left_alone_and_holds_up_nobody(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = make_fleet("alpha", "beta")
    tree = fleet.desk.tree
    tree.commit([Create(f"{paths.claims('alpha')}/99.1.1-9", encode(Claim()))])
    fleet.restart("first")
    fleet.go(10)
    fleet.power_off("alpha")
    job = fleet.submit(schedule=NEVER)
    fleet.go(30)
    assert fleet.job(job).assigned_node == "beta"
    assert tree.children(paths.claims("alpha")) == ["99.1.1-9"]
    assert "there is no job 99 in SQL" in caplog.text
