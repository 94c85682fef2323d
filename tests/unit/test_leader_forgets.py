"""The leader, stepped by hand: of a node that was taken out of the fleet nothing stays, and nothing is lost."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, TICK, MakeFleet, look
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.errors import Conflict, NotFound, Unavailable
from cronkeeper.common.model import Concurrency, Job, RunState
from cronkeeper.common.store import audit, nodes
from cronkeeper.common.store.schema import leader


def where(fleet: Fleet, job: Job) -> tuple[str | None, str | None]:
    now = fleet.job(job)
    return now.assigned_node, now.placement


def nodes_in_tree(fleet: Fleet) -> list[str]:
    return fleet.desk.tree.children(paths.NODES)


def dead_with_a_run(make_fleet: MakeFleet) -> tuple[Fleet, Job]:
    """alpha, alone in being allowed to have the job, has died with a run of it. beta lives."""
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 300
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("alpha")
    fleet.go(10)
    return fleet, job


def test_a_live_node_is_not_forgotten_nor_one_that_there_is_not(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    with pytest.raises(Conflict, match="node alpha is live: stop its worker first"):
        fleet.forget("alpha")
    with pytest.raises(NotFound, match="there is no node beta"):
        fleet.forget("beta")
    fleet.go(30)
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    with pytest.raises(NotFound, match="there is no node alpha"):
        fleet.forget("alpha")
    entries = fleet.store.transaction(audit.listing)
    assert [(each.action, each.detail) for each in entries if each.action == "node.forget"] == [
        ("node.forget", "alpha")
    ]


def test_while_the_tree_is_away_nobody_knows_whether_a_node_is_live_and_none_is_forgotten(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha")
    fleet.desk.tree.disconnect()
    with pytest.raises(Unavailable):
        fleet.forget("alpha")
    fleet.desk.tree.reconnect()
    job = fleet.submit(schedule=NEVER)
    fleet.go(30)
    assert where(fleet, job) == ("alpha", None)


def test_its_runs_are_given_up_at_once_and_its_jobs_wait_with_their_watermark(make_fleet: MakeFleet) -> None:
    fleet, job = dead_with_a_run(make_fleet)
    fleet.forget("alpha")
    look(fleet)
    lost = fleet.runs()[RUN]
    assert (lost.state, lost.reason) == (RunState.LOST, "node alpha was forgotten")
    assert where(fleet, job) == (None, "there is no node alpha, where alone it may run")
    assert fleet.desk.tree.children(paths.PARKED) == [f"{job.id}.1"]
    assert nodes_in_tree(fleet) == ["beta"]
    fleet.change(job, node=None)
    fleet.go(10)
    node, claim = fleet.claim(job)
    assert (node, claim.watermark) == ("beta", TICK)
    fleet.until(TICK + timedelta(seconds=80))
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_the_run_of_a_removed_job_is_given_up_too(make_fleet: MakeFleet) -> None:
    fleet, job = dead_with_a_run(make_fleet)
    fleet.remove(job)
    fleet.go(2)
    assert not fleet.runs()[RUN].state.final
    fleet.forget("alpha")
    look(fleet)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert nodes_in_tree(fleet) == ["beta"]


def test_a_run_that_lies_in_its_inbox_is_queued_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(5)
    fleet.power_off("alpha")
    run = fleet.request(job)
    fleet.go(10)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    fleet.forget("alpha")
    look(fleet)
    assert fleet.runs()[run.id].state is RunState.QUEUED
    fleet.change(job, node="beta")
    look(fleet)
    assert fleet.machines["beta"].starts == [run.id]
    assert complaints(fleet) == []


def test_the_last_node_is_forgotten_and_a_later_leader_places_its_jobs_on_a_new_one(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.power_off("beta")
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.power_off("alpha")
    fleet.stop("first")
    fleet.go(20)
    fleet.forget("alpha")
    fleet.lead("second")
    fleet.go(2)
    assert where(fleet, job) == (None, "no node is live")
    assert nodes_in_tree(fleet) == ["beta"]
    fleet.work("beta")
    fleet.until(TICK + timedelta(seconds=80))
    assert fleet.starts() == [RUN, SECOND]
    assert complaints(fleet) == []


def test_its_folder_stays_while_something_lies_there_that_is_nobodys(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.go(2)
    fleet.desk.tree.commit([Create(f"{paths.claims('alpha')}/99.1.1-1", b"{}")])
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    fleet.stop("first")
    fleet.lead("second")
    look(fleet)
    assert nodes_in_tree(fleet) == ["alpha", "beta"]
    assert fleet.desk.tree.children(paths.claims("alpha")) == ["99.1.1-1"]


def test_a_worker_that_was_never_added_gets_nothing_until_it_is(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.forget("alpha")
    fleet.work("alpha")
    look(fleet)
    jobs = [fleet.submit(schedule=NEVER) for _ in range(4)]
    bound = fleet.submit(schedule=NEVER, node="alpha")
    look(fleet)
    assert {fleet.claim(job)[0] for job in jobs} == {"beta"}
    assert where(fleet, bound) == (None, "there is no node alpha, where alone it may run")
    fleet.add("alpha")
    look(fleet)
    assert where(fleet, bound) == ("alpha", None)
    assert complaints(fleet) == []


@pytest.mark.parametrize("concurrency", [Concurrency.FORBID, Concurrency.ALLOW])
def test_a_worker_that_comes_back_just_as_it_is_forgotten_loses_its_jobs_between_two_runs(
    make_fleet: MakeFleet, concurrency: Concurrency
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 10
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha", concurrency=concurrency)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("alpha")
    fleet.go(10)
    fleet.stop("first")
    fleet.forget("alpha")
    fleet.change(job, node=None)
    fleet.work("alpha")
    fleet.go(10)
    fleet.lead("second")
    look(fleet)
    assert fleet.claim(job)[0] == "beta"
    fleet.until(TICK + timedelta(seconds=140))
    assert fleet.machines["beta"].starts != []
    assert fleet.claim(job)[1].unfinished == ()


def test_what_an_edit_took_from_a_job_of_its_stands_in_the_claim_that_is_parked(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.power_off("alpha")
    fleet.go(130)
    fleet.change(job, schedule=NEVER)
    fleet.forget("alpha")
    look(fleet)
    fleet.change(job, node="beta")
    look(fleet)
    (skipped,) = [run for run in fleet.runs().values() if run.state is RunState.SKIPPED]
    assert skipped.reason == "edited: the ticks from 2026-03-01T12:02:00Z to 2026-03-01T12:03:00Z"
    assert complaints(fleet) == []


def test_an_sql_of_an_earlier_day_takes_no_job_off_a_live_node(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    for _ in range(4):
        fleet.submit(schedule=NEVER)
    look(fleet)
    before = fleet.claims()

    def earlier(connection: sa.Connection) -> None:
        nodes.remove(connection, "alpha")
        connection.execute(sa.update(leader).values(epoch=0))

    fleet.store.transaction(earlier)
    look(fleet)
    assert fleet.claims() == before
    assert fleet.desk.tree.children(paths.PARKED) == []
