"""A worker while nobody takes in its reports: what it knows outlives daemon and machine, and costs it nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN, Trouble
from support.fleet import Fleet
from support.promise import complaints
from support.samples import ended, unfinished

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Claim, Job, RunState, Unfinished, decode, encode, replace
from cronkeeper.worker import claims

MakeFleet = Callable[..., Fleet]

TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"


def lost(call: str, carry_out: Callable[[], object]) -> object:
    raise Unavailable("the API is away")


@pytest.fixture
def fleet(make_fleet: MakeFleet) -> Fleet:
    """Whose API is away."""
    fleet = make_fleet("alpha")
    fleet.trouble["api"] = Trouble()
    fleet.trouble["api"].always(lost)
    return fleet


def come_back(fleet: Fleet) -> None:
    fleet.trouble["api"].disarm()
    fleet.go(30)


def test_an_end_is_known_as_it_was_after_the_machine_was_restarted(fleet: Fleet) -> None:
    fleet.submit(schedule="1 * * * *")
    fleet.until(TICK + timedelta(seconds=20))
    fleet.power_off("alpha")
    fleet.go(1800)
    fleet.work("alpha")
    come_back(fleet)
    run = fleet.runs()[RUN]
    assert (run.state, run.exit_code) == (RunState.SUCCEEDED, 0)
    assert run.started_at is not None
    assert run.ended_at is not None
    assert abs((run.started_at - TICK).total_seconds()) < 1
    assert abs((run.ended_at - TICK).total_seconds() - 5) < 1
    assert complaints(fleet) == []


def test_an_end_that_only_the_claim_remembers_after_a_power_cut_is_not_called_lost(fleet: Fleet) -> None:
    """The node had told the tree, and the power went before its own disk had it."""
    job = fleet.submit(schedule="1 * * * *")
    fleet.until(TICK + timedelta(seconds=20))
    assert fleet.claim(job)[1].unfinished[0].outcome is not None
    folder = fleet.machines["alpha"].runs / RUN
    (folder / "outcome").write_bytes(b"")
    (folder / "exit").write_bytes(b" " * 32)
    fleet.power_off("alpha")
    fleet.work("alpha")
    come_back(fleet)
    run = fleet.runs()[RUN]
    assert (run.state, run.exit_code) == (RunState.SUCCEEDED, 0)
    assert complaints(fleet) == []


def rewrite(fleet: Fleet, job: Job, unfinished: tuple[Unfinished, ...]) -> None:
    """Have the job's claim list these runs; its node's daemon is started again."""
    tree = fleet.desk.tree
    (path,) = [paths.claim(node, name) for (node, name), _ in fleet.claims().items() if name.job_id == job.id]
    found = tree.get(path)
    changed = replace(decode(found.data, Claim), unfinished=unfinished)
    tree.commit([SetData(path, encode(changed), found.version)])
    fleet.restart("alpha")


def test_a_run_that_could_not_be_started_is_remembered_also_when_it_had_to_leave_its_claim(
    fleet: Fleet,
) -> None:
    """A claim lists only so many ends; the others are in the folders, also where no process left a mark."""
    job = fleet.submit(schedule="1 * * * *", run_as="nobody-here")
    fleet.until(TICK + timedelta(seconds=5))
    rewrite(fleet, job, ())
    come_back(fleet)
    run = fleet.runs()[RUN]
    assert (run.state, run.reason) == (RunState.FAILED, "this node has no user 'nobody-here'")
    assert complaints(fleet) == []


def test_a_run_that_goes_on_is_told_of_again_by_the_next_daemon(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 600
    fleet.submit(schedule="1 * * * *")
    fleet.until(TICK + timedelta(seconds=20))
    fleet.restart("alpha")
    come_back(fleet)
    run = fleet.runs()[RUN]
    assert run.state is RunState.RUNNING
    assert run.started_at is not None
    assert abs((run.started_at - TICK).total_seconds()) < 1


def test_runs_by_hand_wait_while_a_claim_is_full_of_them(fleet: Fleet) -> None:
    job = fleet.submit(schedule="0 0 1 1 *")
    fleet.go(5)
    hands = [unfinished(f"1.1.hand-{n}.1", tick=None, node="beta") for n in range(claims.MAX_ENDED)]
    rewrite(fleet, job, tuple(ended(each) for each in hands))
    fleet.request(job)
    fleet.go(60)
    assert fleet.starts() == []
    come_back(fleet)
    assert len(fleet.starts()) == 1
    assert fleet.claim(job)[1].unfinished == ()
