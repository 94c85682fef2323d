"""The worker, stepped by hand: each tick starts once and is told of, whatever befalls the daemon or its host."""

import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints
from support.samples import NOW, plan, unfinished

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, Delete, SetData
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import (
    Artifact,
    Claim,
    Job,
    JobType,
    OnNodeLoss,
    RunState,
    StartedBy,
    decode,
    encode,
    replace,
)
from cronkeeper.worker.presence import SecondWorker
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.worker import RESYNC, SWEEP

MakeFleet = Callable[..., Fleet]

SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning."""
NEVER = "0 0 1 1 *"
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"
SCRIPT = Artifact("ab" * 32, "job.sh", 3)


def running(fleet: Fleet, seconds: float = 30.0) -> Job:
    """A job whose run has just begun, and goes on for so long."""
    for machine in fleet.machines.values():
        machine.run_seconds = seconds
    job = fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=1))
    return job


def test_a_tick_is_started_when_it_is_due_and_its_end_is_known_everywhere(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(milliseconds=1))
    assert fleet.starts() == []
    fleet.go(0.001)
    assert fleet.starts() == [RUN]
    fleet.go(10)
    run = fleet.runs()[RUN]
    assert (run.state, run.exit_code, run.node, run.started_by) == (
        RunState.SUCCEEDED,
        0,
        "alpha",
        StartedBy.CLOCK,
    )
    assert run.tick == TICK
    assert complaints(fleet) == []


def test_a_command_that_fails_puts_its_job_into_error(fleet: Fleet) -> None:
    fleet.machines["alpha"].exit_code = 3
    job = running(fleet, 1.0)
    fleet.go(5)
    assert (fleet.runs()[RUN].state, fleet.runs()[RUN].exit_code) == (RunState.FAILED, 3)
    assert fleet.job(job).status == "error"


def test_an_artifact_is_kept_while_a_job_or_a_run_here_needs_it(fleet: Fleet) -> None:
    fleet.files.here[SCRIPT.sha256] = fleet.machines["alpha"].home
    fleet.machines["alpha"].run_seconds = 2 * SWEEP
    job = fleet.submit(schedule=SOON, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    fleet.until(TICK + timedelta(seconds=1))
    fleet.remove(job)
    fleet.go(SWEEP + RESYNC)
    assert fleet.files.kept == {SCRIPT.sha256}
    fleet.go(2 * SWEEP)
    assert fleet.files.kept == set()


def test_a_tick_that_finds_its_job_running_is_skipped_at_once_and_says_so(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 70
    fleet.submit(schedule="* * * * *")
    fleet.until(TICK + timedelta(seconds=62))
    skipped = fleet.runs()["1.1.20260301T120200Z.1"]
    assert (skipped.state, skipped.reason, skipped.node) == (RunState.SKIPPED, "still_running", "alpha")
    fleet.machines["alpha"].run_seconds = 5
    fleet.until(TICK + timedelta(seconds=130))
    assert fleet.starts() == [RUN, "1.1.20260301T120300Z.1"]
    assert complaints(fleet) == []


def test_a_run_that_ended_while_the_daemon_was_away_is_told_of_when_it_is_back(fleet: Fleet) -> None:
    running(fleet, 5.0)
    session = fleet.daemons["alpha"].tree.session()
    fleet.stop("alpha")
    fleet.go(5)
    assert fleet.machines["alpha"].running == {}
    fleet.work("alpha", (session.id, session.password))
    fleet.go(5)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_a_run_that_goes_on_is_adopted_by_the_next_daemon(fleet: Fleet) -> None:
    running(fleet, 10.0)
    fleet.restart("alpha")
    fleet.go(5)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_the_tick_of_a_short_absence_is_started_when_the_daemon_is_back(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.go(3)
    fleet.stop("alpha")
    fleet.until(TICK + timedelta(seconds=20))
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.runs()[RUN].started_by is StartedBy.ADOPTION
    assert complaints(fleet) == []


def test_after_a_reboot_an_unfinished_run_is_lost_at_once(fleet: Fleet) -> None:
    running(fleet)
    fleet.power_off("alpha")
    fleet.work("alpha")
    fleet.go(10)
    lost = fleet.runs()[RUN]
    assert (lost.state, lost.reason) == (RunState.LOST, "the node was restarted while the run was unfinished")
    assert complaints(fleet) == []


def test_a_folder_without_a_claim_from_before_a_reboot_does_not_keep_its_tick_from_running(
    fleet: Fleet,
) -> None:
    """The power went between folder and claim. The tick is claimed now, and no old word on it counts."""
    fleet.machines["alpha"].run_seconds = 30
    fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(seconds=3))
    (held,) = fleet.daemons["alpha"].worker._assignment.held.values()
    fleet.power_off("alpha")
    RunFolder.make(fleet.machines["alpha"].runs, plan(RUN, spec=held.spec, tick=TICK, claimed_at=NOW))
    fleet.until(TICK - timedelta(seconds=1))
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    assert [run.run_id for run in next(iter(fleet.claims().values())).unfinished] == [RUN]
    fleet.go(30)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_an_old_word_that_a_run_is_lost_does_not_take_it_out_of_its_claim(fleet: Fleet) -> None:
    running(fleet)
    fleet.daemons["alpha"].reporter._acknowledged[RUN] = None
    fleet.loops["alpha"].bell.set()
    fleet.go(5)
    assert [run.run_id for run in next(iter(fleet.claims().values())).unfinished] == [RUN]
    fleet.go(30)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_a_run_whose_folder_somebody_removed_is_lost_and_holds_up_no_other(fleet: Fleet) -> None:
    running(fleet)
    fleet.stop("alpha")
    shutil.rmtree(fleet.machines["alpha"].runs / RUN)
    fleet.work("alpha")
    fleet.go(10)
    assert fleet.runs()[RUN].state is RunState.LOST
    assert "run folder is gone" in str(fleet.runs()[RUN].reason)
    assert complaints(fleet) == []


def test_a_run_that_was_heard_to_end_while_its_job_was_elsewhere_is_not_begun_again_when_that_is_back(
    fleet: Fleet,
) -> None:
    """The claim comes back as it was when it left: whoever had it meanwhile has not heard either."""
    fleet.submit(schedule=SOON, on_node_loss=OnNodeLoss.RERUN)
    fleet.until(TICK + timedelta(seconds=1))
    fleet.stop("first")
    ((node, name),) = fleet.claims()
    tree = fleet.desk.tree
    left = {path: tree.get(path) for path in (paths.claim(node, name), paths.spec(node, name))}
    tree.commit([Delete(path, was.version) for path, was in left.items()])
    fleet.go(30)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.machines[node].folders() == []
    tree.commit([Create(path, was.data) for path, was in left.items()])
    fleet.go(10)
    assert fleet.starts() == [RUN]
    assert next(iter(fleet.claims().values())).unfinished == ()


def test_a_folder_that_is_removed_under_a_running_job_costs_that_run_its_end_and_nothing_else(
    fleet: Fleet,
) -> None:
    running(fleet, 5.0)
    shutil.rmtree(fleet.machines["alpha"].runs / RUN)
    fleet.go(20)
    assert fleet.starts() == [RUN]
    assert fleet.runs()[RUN].state is RunState.FAILED
    assert complaints(fleet) == []


def test_a_run_waits_for_its_artifact(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    fleet.until(TICK + timedelta(seconds=5))
    assert SCRIPT.sha256 in fleet.files.requested
    assert fleet.starts() == []
    fleet.files.here[SCRIPT.sha256] = fleet.machines["alpha"].home
    fleet.go(10)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_that_cannot_be_started_fails_with_the_reason(fleet: Fleet, restarted: bool) -> None:
    """Also where the daemon ends before the API has heard of it: only the claim knows then."""
    fleet.submit(schedule=SOON, type=JobType.SCRIPT, command=None, artifact=SCRIPT)
    fleet.files.errors[SCRIPT.sha256] = CronkeeperError("its SHA-256 is another one")
    fleet.until(TICK - timedelta(seconds=1))
    if restarted:
        fleet.loops.pop("alpha's reporter")
        fleet.go(5)
        fleet.restart("alpha")
    fleet.go(10)
    run = fleet.runs()[RUN]
    assert (run.state, run.reason) == (
        RunState.FAILED,
        "job.sh could not be fetched: its SHA-256 is another one",
    )
    assert complaints(fleet) == []


def test_a_user_whom_the_node_does_not_know_fails_the_run(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON, run_as="nobody-here")
    fleet.until(TICK + timedelta(seconds=5))
    assert fleet.runs()[RUN].reason == "this node has no user 'nobody-here'"
    assert complaints(fleet) == []


def test_a_run_for_which_there_is_no_room_fails_and_the_worker_stays_up(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.go(3)
    runs = fleet.machines["alpha"].runs
    runs.rmdir()
    runs.write_text("in the way")
    fleet.until(TICK + timedelta(seconds=5))
    run = fleet.runs()[RUN]
    assert run.state is RunState.FAILED
    assert "could not be made" in str(run.reason)
    runs.unlink()
    runs.mkdir()
    assert complaints(fleet) == []


def test_a_lease_that_cannot_be_written_down_holds_up_nothing_else(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    lease = fleet.machines["alpha"].home / ".lease.new"
    lease.unlink(missing_ok=True)
    lease.mkdir()
    fleet.until(TICK + timedelta(seconds=1))
    assert fleet.runs()[RUN].state is RunState.RUNNING


def test_a_run_by_hand_is_started_at_once_and_leaves_the_inbox_with_its_claim(fleet: Fleet) -> None:
    job = fleet.submit(schedule=NEVER)
    fleet.go(3)
    run = fleet.request(job)
    fleet.go(1)
    assert fleet.starts() == [run.id]
    assert fleet.desk.tree.children(paths.inbox("alpha")) == []
    fleet.go(10)
    assert fleet.runs()[run.id].state is RunState.SUCCEEDED
    assert complaints(fleet) == []


def test_while_the_lease_is_over_nothing_is_claimed_or_started(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(seconds=5))
    tree = fleet.daemons["alpha"].tree
    tree.disconnect()
    fleet.until(TICK + timedelta(seconds=0.5))
    assert fleet.starts() == []
    tree.reconnect()
    fleet.go(10)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_round_that_an_unforeseen_error_breaks_off_loses_no_tick(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(seconds=1))
    tree = fleet.daemons["alpha"].tree

    def fail(call: str, carry_out: Callable[[], object]) -> object:
        if call == "commit":
            raise RuntimeError("nobody foresaw this")
        return carry_out()

    tree.faults = fail  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        fleet.until(TICK)
    tree.faults = None
    fleet.go(20)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_a_second_worker_of_the_same_name_is_refused_and_the_first_goes_on(fleet: Fleet) -> None:
    first = fleet.loops["alpha"]
    fleet.work("alpha")
    fleet.loops["the first"] = first
    with pytest.raises(SecondWorker, match="another worker is live as node 'alpha'"):
        fleet.go(20)


def test_a_claim_that_is_another_nodes_never_clears_a_folder_here(fleet: Fleet) -> None:
    """This node made the folder and did not get the claim; beta did, started the run, and died."""
    job = fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(seconds=10))
    ((node, name), claim) = next(iter(fleet.claims().items()))
    (held,) = fleet.daemons["alpha"].worker._assignment.held.values()
    fleet.stop("alpha")
    RunFolder.make(fleet.machines["alpha"].runs, plan(RUN, spec=held.spec, tick=TICK))
    abroad = replace(claim, watermark=TICK, unfinished=(unfinished(RUN, node="beta", tick=TICK),))
    path = paths.claim(node, name)
    fleet.desk.tree.commit([SetData(path, encode(abroad), fleet.desk.tree.get(path).version)])
    fleet.work("alpha")
    fleet.until(TICK + timedelta(seconds=5))
    assert fleet.starts() == []
    assert fleet.machines["alpha"].folders() == []
    assert decode(fleet.desk.tree.get(path).data, Claim) == abroad
    assert fleet.job(job).status == "scheduled"


def test_a_worker_wants_its_next_round_when_something_falls_due(fleet: Fleet) -> None:
    fleet.go(5)
    wait = fleet.daemons["alpha"].worker.step(fleet.time.now)
    assert 0 < wait <= 2.0
    fleet.submit(schedule=SOON)
    fleet.until(TICK - timedelta(seconds=1))
    assert fleet.daemons["alpha"].worker.step(fleet.time.now) == pytest.approx(1.0, abs=1e-6)


def test_an_end_waits_for_an_api_that_is_away_and_the_next_tick_does_not(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    reporter = fleet.loops.pop("alpha's reporter")
    fleet.submit(schedule="* * * * *")
    fleet.until(TICK + timedelta(seconds=130))
    assert len(fleet.starts()) == 3
    (claim,) = fleet.claims().values()
    assert [run.outcome is not None for run in claim.unfinished] == [True, True, True]
    fleet.loops["alpha's reporter"] = reporter
    fleet.go(10)
    assert complaints(fleet) == []
