"""The leader, stepped by hand: every job is on one node, and of every run it is known what became of it."""

from collections import Counter
from collections.abc import Callable

import pytest
from support.fakes import Trouble, lose_call
from support.fleet import Fleet
from support.promise import complaints
from support.samples import unfinished

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import MAX_BATCH_BYTES, Create, SetData
from cronkeeper.common.model import Artifact, Claim, Job, JobType, RunState, decode, encode, replace

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning."""
NEVER = "0 0 1 1 *"
RUN = "1.1.20260301T120100Z.1"
SCRIPT = Artifact("ab" * 32, "job.sh", 3)


def idle(fleet: Fleet) -> Job:
    job = fleet.submit(schedule=NEVER)
    fleet.go(3)
    return job


def running(fleet: Fleet, seconds: float = 600.0) -> Job:
    """A job whose run has begun on alpha, and goes on for so long."""
    for machine in fleet.machines.values():
        machine.run_seconds = seconds
    job = fleet.submit(schedule=SOON)
    fleet.go(30)
    assert fleet.starts() == [RUN]
    return job


def moved(fleet: Fleet) -> Job:
    """A job that alpha died with, whose claim is at beta, and lists its run."""
    job = running(fleet)
    fleet.power_off("alpha")
    fleet.go(10)
    node, claim = fleet.claim(job)
    assert (node, [run.node for run in claim.unfinished]) == ("beta", ["alpha"])
    return job


def without_sql(call: str, carry_out: Callable[[], object]) -> object:
    return lose_call(call, carry_out) if call == "sql" else carry_out()


def test_jobs_are_spread_over_the_live_nodes(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta", "gamma")
    for _ in range(7):
        fleet.submit(schedule=NEVER)
    fleet.go(3)
    assert sorted(Counter(node for node, _ in fleet.claims()).values()) == [2, 2, 3]
    assert complaints(fleet) == []


def test_a_job_waits_for_a_node_says_so_and_is_placed_as_soon_as_one_is_live(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    fleet.stop("alpha")
    fleet.go(10)
    job = idle(fleet)
    assert (fleet.job(job).assigned_node, fleet.job(job).placement) == (None, "no node is live")
    fleet.work("alpha")
    fleet.go(1)
    assert (fleet.job(job).assigned_node, fleet.job(job).placement) == ("alpha", None)
    assert complaints(fleet) == []


def test_a_job_that_the_front_desk_could_not_tell_of_is_found_in_sql(fleet: Fleet) -> None:
    fleet.desk.tree.disconnect()
    job = fleet.submit(schedule=NEVER)
    fleet.desk.tree.reconnect()
    fleet.go(20)
    assert fleet.job(job).assigned_node == "alpha"


def test_a_job_that_is_published_again_keeps_its_watermark_and_its_runs(fleet: Fleet) -> None:
    job = running(fleet, 20.0)
    ((_, name), before) = next(iter(fleet.claims().items()))
    fleet.edit(job)
    fleet.go(1)
    ((_, newer), after) = next(iter(fleet.claims().items()))
    assert newer.gen > name.gen
    assert replace(after, here_since=None) == before
    fleet.go(30)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_dead_nodes_jobs_move_at_once_and_their_runs_are_given_up_after_the_run_lease(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = moved(fleet)
    assert fleet.job(job).assigned_node == "beta"
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.go(45)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.go(30)
    lost = fleet.runs()[RUN]
    assert (lost.state, lost.reason) == (RunState.LOST, "node alpha has been gone for 60 s")
    assert fleet.job(job).status == "error"
    assert complaints(fleet) == []


def test_until_then_the_run_counts_as_running(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule="* * * * *")
    fleet.machines["alpha"].run_seconds = 600
    fleet.go(30)
    fleet.power_off("alpha")
    fleet.go(65)
    assert fleet.runs()["1.1.20260301T120200Z.1"].reason == "still_running"
    fleet.go(60)
    assert fleet.starts() == [RUN, "1.1.20260301T120300Z.1"]
    assert fleet.claim(job)[0] == "beta"


def test_a_late_truth_replaces_what_was_assumed(make_fleet: MakeFleet) -> None:
    """alpha was only cut off: its run goes on, and ends after it was given up."""
    fleet = make_fleet("alpha", "beta")
    job = running(fleet, 100.0)
    for part in ("alpha", "alpha's reporter"):
        fleet.loops[part].due = float("inf")
    fleet.daemons["alpha"].tree.disconnect()
    cut = {name: fleet.loops.pop(name) for name in ("alpha", "alpha's reporter")}
    fleet.go(75)
    assert fleet.runs()[RUN].state is RunState.LOST
    fleet.go(30)
    fleet.daemons["alpha"].tree.reconnect()
    for name, loop in cut.items():
        loop.due = 0.0
        fleet.loops[name] = loop
    fleet.go(20)
    assert (fleet.runs()[RUN].state, fleet.runs()[RUN].exit_code) == (RunState.SUCCEEDED, 0)
    assert fleet.job(job).status == "scheduled"
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_foreign_run_is_settled_as_soon_as_sql_knows_its_end(make_fleet: MakeFleet) -> None:
    """alpha has lost its session, and still reaches the API."""
    fleet = make_fleet("alpha", "beta")
    job = running(fleet, 15.0)
    fleet.daemons["alpha"].tree.disconnect()
    fleet.go(10)
    assert [run.node for run in fleet.claim(job)[1].unfinished] == ["alpha"]
    fleet.go(30)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.claim(job)[1].unfinished == ()


def test_a_reboot_of_the_former_node_settles_its_run_at_once(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = moved(fleet)
    fleet.work("alpha")
    fleet.go(25)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert fleet.claim(job) == ("beta", replace(fleet.claim(job)[1], unfinished=()))
    assert complaints(fleet) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_that_was_claimed_and_not_started_when_its_job_moved_is_given_up_by_its_node(
    make_fleet: MakeFleet, restarted: bool
) -> None:
    """It waited for its artifact. Were nothing said of it, the job would count as running for ever."""
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=SOON, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    fleet.go(30)
    if restarted:
        fleet.stop("alpha")
    else:
        fleet.daemons["alpha"].tree.disconnect()
    fleet.go(10)
    assert fleet.claim(job)[0] == "beta"
    if restarted:
        fleet.work("alpha")
    else:
        fleet.daemons["alpha"].tree.reconnect()
    fleet.go(25)
    fleet.files.here[SCRIPT.sha256] = fleet.machines["alpha"].home
    fleet.go(25)
    assert fleet.starts() == []
    lost = fleet.runs()[RUN]
    assert (lost.state, lost.reason) == (RunState.LOST, "the job left the node before the run was started")
    assert complaints(fleet) == []


def test_a_node_that_never_got_the_claim_does_not_call_another_nodes_run_lost(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    fleet.machines["beta"].run_seconds = 100
    fleet.submit(schedule=SOON)
    fleet.go(27.9)
    tree = fleet.daemons["alpha"].tree

    def cut(call: str, carry_out: Callable[[], object]) -> object:
        if call == "commit":
            tree.disconnect()
        return carry_out()

    tree.faults = cut  # type: ignore[assignment]
    fleet.go(1)
    assert fleet.machines["alpha"].folders() == [RUN]
    fleet.go(10)
    assert fleet.machines["beta"].starts == [RUN]
    tree.faults = None
    tree.reconnect()
    fleet.go(20)
    assert (fleet.runs()[RUN].state, fleet.runs()[RUN].node) == (RunState.RUNNING, "beta")
    assert fleet.machines["alpha"].folders() == []
    fleet.go(100)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_new_leader_settles_the_runs_of_a_node_that_died_before_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    moved(fleet)
    fleet.restart("first")
    fleet.go(90)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert complaints(fleet) == []


def test_a_new_leader_gives_a_node_that_it_has_not_seen_a_moment_to_come(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = idle(fleet)
    fleet.stop("first")
    fleet.server.expire(fleet.daemons["alpha"].tree.session().id)
    fleet.go(7)
    fleet.lead("second")
    fleet.go(5)
    assert fleet.claim(job)[0] == "alpha"
    fleet.go(10)
    assert fleet.claim(job)[0] == "alpha"
    fleet.stop("alpha")
    fleet.go(8)
    assert fleet.claim(job)[0] == "beta"


def test_a_leader_that_leads_again_looks_at_the_fleet_anew(fleet: Fleet) -> None:
    """Another one led in between, so quickly that the first never saw it."""
    fleet.server.expire(fleet.daemons["first"].tree.session().id)
    first = fleet.loops.pop("first")
    fleet.lead("second")
    job = idle(fleet)
    fleet.server.expire(fleet.daemons["second"].tree.session().id)
    fleet.loops.pop("second")
    fleet.loops["first"] = first
    fleet.go(10)
    assert len(fleet.claims()) == 1
    fleet.remove(job)
    fleet.go(10)
    assert complaints(fleet) == []


def test_a_leader_that_is_deposed_in_the_middle_of_its_round_changes_nothing(make_fleet: MakeFleet) -> None:
    """The second leader has published the job and sent the run before the first goes on to do the same."""
    fleet = make_fleet("alpha", trouble={"leader": (trouble := Trouble())})
    job = idle(fleet)
    run, other = fleet.request(job), fleet.submit(schedule=NEVER)
    trouble.always(lambda call, go_on: fleet.take_over(go_on) if trouble.calls.count("sql") == 1 else go_on())
    fleet.loops["first"].step(fleet.time.now)
    trouble.disarm()
    assert sorted(str(name) for _, name in fleet.claims()) == ["1.1.1-1", "2.1.2-1"]
    assert fleet.desk.tree.children(paths.inbox("alpha")) == [run.id]
    fleet.go(20)
    assert fleet.starts() == [run.id]
    assert fleet.job(other).assigned_node == "alpha"
    assert complaints(fleet) == []


def test_sql_knows_where_a_job_is_though_the_leader_that_moved_it_has_ended(make_fleet: MakeFleet) -> None:
    trouble = Trouble()
    fleet = make_fleet("alpha", "beta", trouble={"leader": trouble})
    job = idle(fleet)
    fleet.power_off("alpha")
    fleet.go(5)
    trouble.always(without_sql)
    fleet.go(5)
    assert (fleet.claim(job)[0], fleet.job(job).assigned_node) == ("beta", "alpha")
    fleet.restart("first")
    trouble.disarm()
    fleet.go(25)
    assert complaints(fleet) == []


def test_while_sql_is_away_claims_move_and_ticks_run(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta", trouble={"leader": (trouble := Trouble()), "api": (api := Trouble())})
    job = fleet.submit(schedule=SOON)
    fleet.go(3)
    trouble.always(without_sql)
    api.always(lose_call)
    fleet.power_off("alpha")
    fleet.go(30)
    assert fleet.claim(job)[0] == "beta"
    assert fleet.machines["beta"].starts == [RUN]
    trouble.disarm()
    api.disarm()
    fleet.go(30)
    assert complaints(fleet) == []


def test_one_claim_that_is_too_large_to_move_holds_up_neither_the_leader_nor_the_others(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = make_fleet("alpha", "beta")
    fat, _, slim = idle(fleet), idle(fleet), idle(fleet)
    fleet.power_off("alpha")
    fleet.go(5)
    ((path, node),) = [
        (paths.claim(node, name), fleet.desk.tree.get(paths.claim(node, name)))
        for node, name in fleet.claims()
        if name.job_id == fat.id
    ]
    run = unfinished("1.1.hand-x.1", tick=None, node="x" * (MAX_BATCH_BYTES - 700))
    claim = replace(decode(node.data, Claim), unfinished=(run,))
    fleet.desk.tree.commit([SetData(path, encode(claim), node.version)])
    fleet.go(10)
    assert fleet.claim(slim)[0] == "beta"
    assert fleet.claim(fat)[0] == "alpha"
    assert f"job {fat.id} can't be moved" in caplog.text


def test_a_standby_that_waits_writes_nothing(fleet: Fleet) -> None:
    fleet.trouble["leader"] = (trouble := Trouble())
    fleet.lead("second")
    fleet.go(1)
    trouble.arm(None, lose_call)
    fleet.go(60)
    assert set(trouble.disarm()) == {"sync", "get"}


def test_a_live_sign_that_nobody_can_read_is_no_node(fleet: Fleet) -> None:
    fleet.desk.tree.commit([Create(paths.live("empty"), b"", ephemeral=True)])
    job = idle(fleet)
    assert fleet.job(job).assigned_node == "alpha"
