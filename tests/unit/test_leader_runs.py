"""The leader, stepped by hand: runs that were asked for, and runs of jobs that are removed."""

from collections.abc import Callable

import pytest
from support.fakes import Trouble, crash_before
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import Artifact, Job, JobType, RunState

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning."""
NEVER = "0 0 1 1 *"
RUN = "1.1.20260301T120100Z.1"


def idle(fleet: Fleet) -> Job:
    job = fleet.submit(schedule=NEVER)
    fleet.go(3)
    return job


def running(fleet: Fleet) -> Job:
    """A job whose run has begun on alpha, and does not end by itself."""
    fleet.machines["alpha"].run_seconds = 600
    job = fleet.submit(schedule=SOON)
    fleet.go(30)
    assert fleet.starts() == [RUN]
    return job


def test_what_waits_in_a_dead_nodes_inbox_is_sent_to_the_new_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = idle(fleet)
    fleet.power_off("alpha")
    run = fleet.request(job)
    fleet.go(1)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    fleet.go(20)
    assert fleet.machines["beta"].starts == [run.id]
    assert complaints(fleet) == []


def test_a_run_that_is_asked_for_while_no_node_is_live_waits_for_one(fleet: Fleet) -> None:
    job = idle(fleet)
    fleet.stop("alpha")
    fleet.go(10)
    run = fleet.request(job)
    fleet.go(10)
    assert fleet.runs()[run.id].state is RunState.QUEUED
    fleet.work("alpha")
    fleet.go(20)
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


@pytest.mark.parametrize("sent", [False, True])
def test_a_queued_run_of_a_job_that_is_removed_is_canceled(fleet: Fleet, sent: bool) -> None:
    """Also where it lies in the inbox of a node that is dead."""
    job = idle(fleet)
    fleet.stop("alpha")
    if not sent:
        fleet.go(10)
    run = fleet.request(job)
    fleet.go(1)
    assert len(fleet.desk.tree.children(paths.inbox("alpha"))) == int(sent)
    fleet.remove(job)
    fleet.go(20)
    canceled = fleet.runs()[run.id]
    assert (canceled.state, canceled.reason) == (RunState.CANCELED, "the job ended before the run began")
    assert complaints(fleet) == []


def test_a_run_in_progress_of_a_removed_job_is_not_taken_for_queued(make_fleet: MakeFleet) -> None:
    """No report of it has come through, the job is removed, and the leader is another one."""
    fleet = make_fleet("alpha")
    job = idle(fleet)
    fleet.machines["alpha"].run_seconds = 30
    reporter = fleet.loops.pop("alpha's reporter")
    run = fleet.request(job)
    fleet.go(2)
    assert fleet.starts() == [run.id]
    fleet.remove(job)
    fleet.go(2)
    fleet.restart("first")
    fleet.go(10)
    assert fleet.runs()[run.id].state is RunState.CLAIMED
    fleet.loops["alpha's reporter"] = reporter
    fleet.go(40)
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


@pytest.mark.parametrize("buried", [False, True])
def test_the_run_of_a_removed_job_is_lost_with_its_node_though_no_report_of_it_came(
    make_fleet: MakeFleet, buried: bool
) -> None:
    fleet = make_fleet("alpha")
    fleet.loops.pop("alpha's reporter")
    job = running(fleet)
    if buried:
        fleet.power_off("alpha")
        fleet.go(120)
        fleet.remove(job)
    else:
        fleet.remove(job)
        fleet.go(5)
        fleet.power_off("alpha")
    fleet.go(100)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert complaints(fleet) == []


def test_a_run_that_a_former_owner_did_not_take_is_not_started_there_when_the_job_comes_back(
    make_fleet: MakeFleet,
) -> None:
    """The leader ended between moving the job and taking its run out of the old inbox."""
    fleet = make_fleet("alpha", "beta", trouble={"leader": (trouble := Trouble())})
    job = idle(fleet)
    fleet.power_off("alpha")
    run = fleet.request(job)
    fleet.go(1)
    trouble.always(lambda call, carry_out: crash_before(call, carry_out) if seen(trouble) else carry_out())
    fleet.go(6)
    trouble.disarm()
    fleet.go(10)
    assert fleet.machines["beta"].starts == [run.id]
    assert fleet.desk.tree.children(paths.inbox("alpha")) == []
    fleet.work("alpha")
    fleet.go(10)
    fleet.power_off("beta")
    fleet.go(20)
    assert fleet.claim(job)[0] == "alpha"
    assert fleet.starts() == [run.id]
    assert complaints(fleet) == []


def test_a_run_that_waits_in_the_claim_of_a_former_owner_is_given_up_by_that_one(
    make_fleet: MakeFleet,
) -> None:
    """A new leader has looked for it in between, and found it in the claim at another node."""
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(
        schedule=NEVER, type=JobType.SCRIPT, command=None, artifact=Artifact("ab" * 32, "job", 3)
    )
    fleet.go(3)
    run = fleet.request(job)
    fleet.go(1)
    fleet.daemons["alpha"].tree.disconnect()
    fleet.go(10)
    fleet.restart("first")
    fleet.go(5)
    assert (fleet.claim(job)[0], fleet.runs()[run.id].node) == ("beta", "alpha")
    fleet.daemons["alpha"].tree.reconnect()
    fleet.go(30)
    assert fleet.runs()[run.id].state is RunState.LOST
    assert complaints(fleet) == []


def seen(trouble: Trouble) -> bool:
    """Whether the call is the first one for the inboxes."""
    return trouble.calls.count("children_many") == 1 and trouble.calls[-1] == "children_many"
