"""The leader, stepped by hand: a job is only where node and labels let it be, and leaves between two runs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, RUN, SECOND, SSD, THIRD, TICK, MakeFleet, look, two
from support.promise import complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Artifact, CatchUp, Concurrency, Job, JobType, RunState
from cronkeeper.manager import moves


def where(fleet: Fleet, job: Job) -> tuple[str | None, str | None]:
    now = fleet.job(job)
    return now.assigned_node, now.placement


def test_a_job_goes_to_the_nodes_that_have_all_its_labels_and_to_no_other(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    fast = [fleet.submit(schedule=NEVER, requires=SSD) for _ in range(4)]
    free = [fleet.submit(schedule=NEVER) for _ in range(2)]
    fleet.go(3)
    assert {fleet.claim(job)[0] for job in fast} == {"beta"}
    assert {fleet.claim(job)[0] for job in free} == {"alpha"}
    assert complaints(fleet) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"requires": {"site": "berlin"} | SSD}, "no live node has the labels disk=ssd, site=berlin"),
        ({"requires": {"disk": "hdd"}}, "no live node has the label disk=hdd"),
        ({"node": "alpha", "requires": SSD}, "node alpha, where alone it may run, lacks the label disk=ssd"),
        ({"node": "gamma", "requires": SSD}, "there is no node gamma, where alone it may run"),
    ],
)
def test_a_job_for_which_no_node_will_do_waits_and_says_why(
    make_fleet: MakeFleet, wanted: dict[str, object], said: str
) -> None:
    fleet = two(make_fleet)
    job = fleet.submit(schedule=NEVER, **wanted)
    fleet.go(3)
    assert where(fleet, job) == (None, said)
    assert fleet.claims() == {}


def test_a_job_that_waits_is_placed_when_a_node_comes_with_its_labels(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    job = fleet.submit(schedule=NEVER, requires={"site": "berlin"})
    fleet.go(3)
    fleet.label("alpha", site="berlin")
    look(fleet)
    assert where(fleet, job) == ("alpha", None)
    assert complaints(fleet) == []


def test_an_idle_job_whose_node_is_changed_moves_at_once_with_its_watermark(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=20))
    before = fleet.claim(job)[1]
    assert before.watermark == TICK
    fleet.change(job, node="beta")
    fleet.go(1)
    assert fleet.claim(job) == ("beta", before)
    fleet.until(TICK + timedelta(seconds=80))
    assert (fleet.machines["alpha"].starts, fleet.machines["beta"].starts) == ([RUN], [SECOND])
    assert complaints(fleet) == []


def test_a_job_that_may_be_on_any_node_again_stays_where_it_is(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=NEVER, node="beta")
    fleet.go(3)
    fleet.change(job, node=None)
    look(fleet)
    assert fleet.claim(job)[0] == "beta"
    assert complaints(fleet) == []


def test_a_job_that_runs_starts_nothing_more_where_it_is_and_leaves_when_its_run_has_ended(
    make_fleet: MakeFleet,
) -> None:
    """The tick that falls due meanwhile is for the new node, and by the new definition."""
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 70
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, node="beta", command="echo other")
    fleet.go(1)
    assert where(fleet, job) == ("alpha", f"moves to node beta when run {RUN} has ended")
    fleet.until(TICK + timedelta(seconds=65))
    assert fleet.starts() == [RUN]
    fleet.until(TICK + timedelta(seconds=110))
    assert where(fleet, job) == ("beta", None)
    assert (fleet.machines["alpha"].starts, fleet.machines["beta"].starts) == ([RUN], [SECOND])
    assert complaints(fleet) == []


def test_it_starts_nothing_more_where_it_is_also_if_the_leader_can_not_say_so_at_once(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 70
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, node="beta")
    tree = fleet.daemons["first"].tree

    def lose_the_first_commit(call: str, carry_out: Callable[[], object]) -> object:
        if call == "commit":
            tree.faults = None
            raise Unavailable("the call was lost")
        return carry_out()

    tree.faults = lose_the_first_commit  # type: ignore[assignment]
    fleet.go(10)
    assert tree.faults is None
    fleet.until(TICK + timedelta(seconds=110))
    assert (fleet.machines["alpha"].starts, fleet.machines["beta"].starts) == ([RUN], [SECOND])
    assert complaints(fleet) == []


@pytest.mark.parametrize(
    ("change", "reason"), [({"enabled": False}, "paused"), ({"schedule": NEVER}, "edited")]
)
def test_an_edit_that_also_makes_a_job_leave_skips_the_tick_that_waits_for_its_turn(
    make_fleet: MakeFleet, change: dict[str, object], reason: str
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 70
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha", catch_up=CatchUp.ALL)
    fleet.until(TICK + timedelta(seconds=65))
    fleet.change(job, node="beta", **change)
    fleet.go(60)
    assert fleet.starts() == [RUN]
    assert fleet.runs()[SECOND].reason == reason
    assert complaints(fleet) == []


def test_a_job_whose_edit_is_taken_back_while_it_waits_stays_and_goes_on(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 40
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, node="beta")
    fleet.go(3)
    fleet.change(job, node="alpha")
    fleet.go(3)
    assert where(fleet, job) == ("alpha", None)
    fleet.until(TICK + timedelta(seconds=110))
    assert fleet.machines["alpha"].starts == [RUN, SECOND]
    assert complaints(fleet) == []


def test_a_job_whose_runs_may_overlap_moves_while_one_goes_on(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 100
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha", concurrency=Concurrency.ALLOW)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(job, node="beta")
    fleet.go(1)
    assert fleet.claim(job)[0] == "beta"
    fleet.until(TICK + timedelta(seconds=80))
    assert (fleet.machines["alpha"].starts, fleet.machines["beta"].starts) == ([RUN], [SECOND])
    fleet.go(70)
    assert {run.state for run in fleet.runs().values()} == {RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_it_does_not_leave_a_run_behind_that_has_not_begun(make_fleet: MakeFleet) -> None:
    """It waits for its script. Its node would give it up if the job left now."""
    fleet = make_fleet("alpha", "beta")
    script = Artifact("ab" * 32, "job.sh", 3)
    job = fleet.submit(
        schedule="1 * * * *",
        type=JobType.SCRIPT,
        command=None,
        artifact=script,
        node="alpha",
        concurrency=Concurrency.ALLOW,
    )
    fleet.until(TICK + timedelta(seconds=10))
    fleet.change(job, node="beta")
    look(fleet)
    assert fleet.claim(job)[0] == "alpha"
    fleet.files.here[script.sha256] = fleet.machines["alpha"].home
    fleet.go(50)
    assert fleet.claim(job)[0] == "beta"
    assert fleet.machines["alpha"].starts == [RUN]
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_jobs_leave_a_node_that_comes_back_without_their_label(make_fleet: MakeFleet) -> None:
    fleet = two(make_fleet)
    jobs = [fleet.submit(schedule=NEVER, requires=SSD) for _ in range(3)]
    free = fleet.submit(schedule=NEVER, node="beta")
    fleet.go(3)
    fleet.label("alpha", **SSD)
    look(fleet)
    assert {fleet.claim(job)[0] for job in jobs} == {"beta"}
    fleet.label("beta", disk="hdd")
    look(fleet)
    assert {fleet.claim(job)[0] for job in jobs} == {"alpha"}
    assert fleet.claim(free)[0] == "beta"
    assert complaints(fleet) == []


def test_of_very_many_misplaced_jobs_all_leave_without_a_pause(
    make_fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LOOKS", 2)
    fleet = two(make_fleet)
    jobs = [fleet.submit(schedule=NEVER, requires=SSD) for _ in range(5)]
    fleet.go(3)
    fleet.label("alpha", **SSD)
    fleet.label("beta")
    look(fleet)
    assert {fleet.claim(job)[0] for job in jobs} == {"alpha"}
    assert complaints(fleet) == []


def test_a_job_that_waits_to_leave_goes_on_when_its_node_has_the_label_again(make_fleet: MakeFleet) -> None:
    """Also where another one leads by then: what the node was told to do is not what SQL calls published."""
    fleet = two(make_fleet)
    fleet.machines["beta"].run_seconds = 100
    job = fleet.submit(schedule=EACH_MINUTE, requires=SSD)
    fleet.until(TICK + timedelta(seconds=5))
    fleet.label("beta")
    look(fleet)
    held = f"leaves node beta when run {RUN} has ended: no live node has the label disk=ssd"
    assert where(fleet, job) == ("beta", held)
    fleet.restart("first")
    fleet.label("beta", **SSD)
    look(fleet)
    assert where(fleet, job) == ("beta", None)
    fleet.machines["beta"].run_seconds = 5
    fleet.until(TICK + timedelta(seconds=140))
    assert fleet.starts() == [RUN, THIRD]
    assert fleet.runs()[SECOND].reason == "still_running"
    assert complaints(fleet) == []


def test_an_edit_that_frees_a_job_from_its_dead_node_is_all_that_the_new_one_sees_of_it(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.go(3)
    fleet.power_off("alpha")
    fleet.until(TICK + timedelta(seconds=20))
    fleet.change(job, node="beta", schedule=NEVER)
    fleet.go(30)
    assert fleet.claim(job)[0] == "beta"
    assert fleet.starts() == []
    assert complaints(fleet) == []


def test_a_run_by_hand_that_the_former_node_has_not_taken_runs_on_the_new_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(3)
    loop = fleet.loops.pop("alpha")
    run = fleet.request(job)
    fleet.go(1)
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    fleet.change(job, node="beta")
    fleet.go(3)
    fleet.loops["alpha"] = loop
    fleet.go(20)
    assert fleet.machines["beta"].starts == [run.id]
    assert complaints(fleet) == []


def test_a_run_that_is_asked_for_while_the_job_waits_to_leave_is_for_the_new_node(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 30
    job = fleet.submit(schedule="1 * * * *", node="alpha")
    fleet.until(TICK + timedelta(seconds=5))
    fleet.change(job, node="beta")
    fleet.go(1)
    run = fleet.request(job)
    fleet.go(60)
    assert fleet.machines["beta"].starts == [run.id]
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


@pytest.mark.parametrize("at", range(12))
def test_a_claim_that_changes_as_the_job_is_to_leave_keeps_it_there(make_fleet: MakeFleet, at: int) -> None:
    """The worker claims the tick at any call of the leader's between its look and its move."""
    fleet = make_fleet("alpha", "beta")
    fleet.machines["alpha"].run_seconds = 40
    job = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK - timedelta(seconds=0.1))
    tree, seen = fleet.daemons["first"].tree, []
    leads = fleet.loops.pop("first")
    fleet.change(job, node="beta")

    def claim_first(call: str, carry_out: Callable[[], object]) -> object:
        seen.append(call)
        if len(seen) == at + 1:
            tree.faults = None
            fleet.go(1)
        return carry_out()

    tree.faults = claim_first  # type: ignore[assignment]
    leads.step(fleet.time.now)
    tree.faults = None
    if fleet.machines["alpha"].starts:
        assert fleet.claim(job)[0] == "alpha"
    fleet.loops["first"] = leads
    fleet.until(TICK + timedelta(seconds=80))
    assert fleet.starts() == [RUN, SECOND]
    where_first = "beta" if "commit" in seen[:-1] or len(seen) <= at else "alpha"
    assert fleet.machines[where_first].starts[0] == RUN
    assert complaints(fleet) == []


@pytest.mark.parametrize("schedule", [EACH_MINUTE, "@once"])
def test_a_job_that_leaves_as_its_node_claims_a_tick_takes_the_tick_along(
    make_fleet: MakeFleet, schedule: str
) -> None:
    """The node made the run's folder and was refused the claim: it knows that the run never was its own."""
    fleet = make_fleet("alpha", "beta")
    fleet.machines["beta"].run_seconds = 30
    at = TICK if schedule == "@once" else None
    job = fleet.submit(schedule=schedule, node="alpha", at=at)
    fleet.until(TICK - timedelta(seconds=0.1))
    tree, leads = fleet.daemons["alpha"].tree, fleet.loops.pop("first")
    fleet.change(job, node="beta")

    def move_first(call: str, carry_out: Callable[[], object]) -> object:
        if call.startswith("commit") and fleet.machines["alpha"].folders():
            tree.faults = None
            leads.step(fleet.time.now)
        return carry_out()

    tree.faults = move_first  # type: ignore[assignment]
    slow = {name: fleet.loops.pop(name) for name in ("beta", "beta's reporter")}
    fleet.go(1)
    assert fleet.claim(job)[0] == "beta"
    fleet.loops |= {"first": leads, **slow}
    fleet.until(TICK + timedelta(seconds=20))
    assert (fleet.runs()[RUN].state, fleet.job(job).status) == (RunState.RUNNING, "scheduled")
    fleet.until(TICK + timedelta(seconds=50))
    assert fleet.starts() == [RUN]
    assert fleet.machines["beta"].starts == [RUN]
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert complaints(fleet) == []
