"""Each call that a daemon makes in a scenario is lost, or its reply, or the daemon with it: nothing comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import fakes
from support.draining import alive_again, drained_and_dead, drained_job, due_on_alpha, even, uneven_jobs
from support.fakes import Bring, Trouble
from support.fleet import Fleet
from support.promise import blank, complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import CatchUp, Concurrency, Job, RunState
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs

SUCCEEDED, LOST, SKIPPED, CANCELED = RunState.SUCCEEDED, RunState.LOST, RunState.SKIPPED, RunState.CANCELED
SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning, and then not for long."""
NEVER = "0 0 1 1 *"
SOON_RUN = "1.1.20260301T120100Z.1"
SECOND_RUN = "1.1.20260301T120200Z.1"
OTHERS_RUN = "2.1.20260301T120100Z.1"
ONCE_RUN = "1.1.20260301T120032Z.1"
HAND = "hand"
TWO = ("alpha", "beta")

Arrange = Callable[[Fleet], Job | None]
Act = Callable[[Fleet, Job | None], object]


@dataclass(frozen=True)
class Scenario:
    """Something that happens to a fleet at rest.

    Trouble comes to one of the calls of the `lasts` seconds after `act`; after `heals` more, and `then` if it is
    given, all must be as it should: the runs have these `ends`, after so many `starts`.
    """

    arrange: Arrange
    act: Act
    lasts: float
    heals: float
    ends: dict[str, RunState]
    starts: int
    nodes: tuple[str, ...] = ("alpha",)
    then: Callable[[Fleet], object] = lambda fleet: None


def nothing(fleet: Fleet) -> None:
    return None


def wait(fleet: Fleet, job: Job | None) -> None:
    return None


def idle_job(fleet: Fleet) -> Job:
    job = fleet.submit(schedule=NEVER)
    fleet.go(5)
    return job


def due_job(fleet: Fleet) -> Job:
    """A job whose tick is due in a moment."""
    job = fleet.submit(schedule=SOON)
    fleet.go(27.9)
    return job


def running_job(fleet: Fleet) -> Job:
    """A job whose run has begun, and goes on for a while."""
    for machine in fleet.machines.values():
        machine.run_seconds = 20
    job = due_job(fleet)
    fleet.go(3)
    return job


def dead_with_run(fleet: Fleet) -> Job:
    """A job whose node died with its run, and whose claim is at another one."""
    job = running_job(fleet)
    fleet.power_off("alpha")
    fleet.go(60)
    return job


def cut_with_run(fleet: Fleet) -> Job:
    """A job whose node is cut off, and has lost it to another one."""
    job = running_job(fleet)
    fleet.daemons["alpha"].tree.disconnect()
    fleet.go(10)
    return job


def asked_of_the_dead(fleet: Fleet) -> Job:
    """A job whose run was sent to a node that is dead, and not yet known to be."""
    job = idle_job(fleet)
    fleet.power_off("alpha")
    fleet.request(job)
    fleet.go(1)
    return job


def bound_job(fleet: Fleet) -> Job:
    """A job that may be on alpha only."""
    job = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(5)
    return job


def bound_due_job(fleet: Fleet) -> Job:
    """The same, just before its tick."""
    job = fleet.submit(schedule=SOON, node="alpha")
    fleet.go(27.9)
    return job


def bound_running_job(fleet: Fleet) -> Job:
    """The same, while it runs."""
    fleet.machines["alpha"].run_seconds = 10
    job = bound_due_job(fleet)
    fleet.go(3)
    return job


def parked_job(fleet: Fleet) -> Job:
    """A job that has run, and that no node may have now."""
    job = due_job(fleet)
    fleet.go(15)
    fleet.change(job, requires={"disk": "ssd"})
    fleet.go(2)
    return job


def bound_to_the_dead(fleet: Fleet) -> Job:
    """A job that runs on alpha, may be there only, and for which a run there was asked; alpha is dead."""
    fleet.machines["alpha"].run_seconds = 300
    job = bound_due_job(fleet)
    fleet.go(3)
    fleet.request(job)
    fleet.power_off("alpha")
    fleet.go(10)
    return job


def nothing_of_alpha_and_the_job_to_beta(fleet: Fleet) -> None:
    assert fleet.desk.tree.children(paths.NODES) == ["beta"]
    (job,) = jobs.listing(fleet.desk, JobQuery())
    fleet.change(job, node="beta")
    fleet.go(30)


def to_beta(fleet: Fleet, job: Job | None) -> None:
    assert job is not None
    fleet.change(job, node="beta", timezone="UTC")


def to_beta_at_the_tick(fleet: Fleet, job: Job | None) -> None:
    """The zone stays, since a change of that would leave the tick to the past."""
    assert job is not None
    fleet.change(job, node="beta", command="true")


def nowhere_and_back(fleet: Fleet, job: Job | None) -> None:
    """It asks for what no node has, and then for nothing."""
    assert job is not None
    fleet.change(job, requires={"disk": "ssd"})
    fleet.go(3)
    fleet.change(job, node=None, requires={})


def asked_and_to_beta(fleet: Fleet, job: Job | None) -> None:
    assert job is not None
    fleet.request(job)
    fleet.change(job, node="beta")


def about_to_be_replaced(fleet: Fleet) -> Job:
    """A job whose run goes on for long, and is replaced in a moment."""
    fleet.machines["alpha"].run_seconds = 300
    job = fleet.submit(schedule="1,2 * * * *", concurrency=Concurrency.REPLACE)
    fleet.go(80)
    fleet.machines["alpha"].run_seconds = 5
    fleet.go(7.9)
    return job


def behind(fleet: Fleet) -> Job:
    """A job that is to catch up with all its ticks, whose daemon has been away for two of them."""
    job = fleet.submit(schedule="1,2 * * * *", catch_up=CatchUp.ALL)
    fleet.go(20)
    fleet.power_off("alpha")
    fleet.go(75)
    return job


def due_without_places(fleet: Fleet) -> Job:
    """Two jobs whose ticks are due in a moment, on a node that has a place for one."""
    fleet.machines["alpha"].max_running = 1
    fleet.restart("alpha")
    fleet.submit(schedule=SOON)
    return due_job(fleet)


def there_and_back(fleet: Fleet) -> None:
    """The dead node comes back, and the job comes back to it."""
    fleet.work("alpha")
    fleet.go(10)
    fleet.power_off("beta")
    fleet.go(30)


def reboot(fleet: Fleet, job: Job | None) -> None:
    fleet.power_off("alpha")
    fleet.work("alpha")


SCENARIOS = {
    "a job is published": Scenario(
        nothing, lambda fleet, _: fleet.submit(schedule=SOON), 2, 45, {SOON_RUN: SUCCEEDED}, 1
    ),
    "a tick is due": Scenario(due_job, wait, 7, 20, {SOON_RUN: SUCCEEDED}, 1),
    "a one-shot is done": Scenario(
        nothing, lambda fleet, _: fleet.submit(schedule="@once"), 8, 25, {ONCE_RUN: SUCCEEDED}, 1
    ),
    "a run is replaced": Scenario(
        about_to_be_replaced, wait, 9, 20, {SOON_RUN: CANCELED, SECOND_RUN: SUCCEEDED}, 2
    ),
    "all that was missed is caught up with": Scenario(
        behind, lambda fleet, _: fleet.work("alpha"), 14, 30, {SOON_RUN: SUCCEEDED, SECOND_RUN: SUCCEEDED}, 2
    ),
    "two ticks are due and there is one place": Scenario(
        due_without_places, wait, 14, 30, {SOON_RUN: SUCCEEDED, OTHERS_RUN: SUCCEEDED}, 2
    ),
    "a run is asked for": Scenario(
        idle_job, lambda fleet, job: fleet.request(job), 7, 25, {HAND: SUCCEEDED}, 1
    ),
    "a busy job's run is asked for": Scenario(
        running_job, lambda fleet, job: fleet.request(job), 2, 40, {SOON_RUN: SUCCEEDED, HAND: SKIPPED}, 1
    ),
    "a dead node's run is asked for": Scenario(
        asked_of_the_dead, wait, 13, 30, {HAND: SUCCEEDED}, 1, TWO, there_and_back
    ),
    "a job is removed that a dead node's run was asked of": Scenario(
        asked_of_the_dead, lambda fleet, job: fleet.remove(job), 2, 30, {HAND: CANCELED}, 0
    ),
    "a node dies with a job": Scenario(
        idle_job, lambda fleet, _: fleet.power_off("alpha"), 8, 30, {}, 0, TWO, there_and_back
    ),
    "a dead node's run is given up": Scenario(dead_with_run, wait, 12, 90, {SOON_RUN: LOST}, 1, TWO),
    "a machine restarts with a run": Scenario(running_job, reboot, 9, 30, {SOON_RUN: LOST}, 1),
    "a node comes back whose job has moved": Scenario(
        cut_with_run,
        lambda fleet, _: fleet.daemons["alpha"].tree.reconnect(),
        6,
        40,
        {SOON_RUN: SUCCEEDED},
        1,
        TWO,
    ),
    "an idle job is removed": Scenario(idle_job, lambda fleet, job: fleet.remove(job), 2, 25, {}, 0),
    "a running job is removed": Scenario(
        running_job, lambda fleet, job: fleet.remove(job), 2, 45, {SOON_RUN: SUCCEEDED}, 1
    ),
    "a running job is published again": Scenario(
        running_job, lambda fleet, job: fleet.edit(job), 2, 45, {SOON_RUN: SUCCEEDED}, 1
    ),
    "a job is published again as its tick is due": Scenario(
        due_job, lambda fleet, job: fleet.edit(job), 3, 45, {SOON_RUN: SUCCEEDED}, 1
    ),
}
SCENARIOS |= {
    "an idle job is told to move": Scenario(bound_job, to_beta, 3, 30, {}, 0, TWO),
    "a job is told to move as its tick is due": Scenario(
        bound_due_job, to_beta_at_the_tick, 6, 45, {SOON_RUN: SUCCEEDED}, 1, TWO
    ),
    "a running job is told to move": Scenario(
        bound_running_job, to_beta, 22, 45, {SOON_RUN: SUCCEEDED}, 1, TWO
    ),
    "a running job fits nowhere, and then anywhere": Scenario(
        bound_running_job, nowhere_and_back, 8, 60, {SOON_RUN: SUCCEEDED}, 1, TWO
    ),
    "a parked job fits again": Scenario(
        parked_job,
        lambda fleet, _: fleet.label("beta", disk="ssd"),
        21,
        30,
        {SOON_RUN: SUCCEEDED},
        1,
        TWO,
    ),
    "a job is run by hand and told to move": Scenario(
        bound_job, asked_and_to_beta, 7, 45, {HAND: SUCCEEDED}, 1, TWO
    ),
    "a dead node is forgotten": Scenario(
        bound_to_the_dead,
        lambda fleet, _: fleet.forget("alpha"),
        21,
        30,
        {SOON_RUN: LOST, HAND: SUCCEEDED},
        2,
        TWO,
        nothing_of_alpha_and_the_job_to_beta,
    ),
}
SCENARIOS |= {
    "a node is drained whose job runs": Scenario(
        running_job, lambda fleet, _: fleet.drain("alpha"), 27, 45, {SOON_RUN: SUCCEEDED}, 1, TWO
    ),
    "a drained node dies that alone may have its job": Scenario(
        due_on_alpha, drained_and_dead, 12, 20, {SOON_RUN: SUCCEEDED}, 1, TWO, alive_again
    ),
    "a node is undrained that alone may have a job": Scenario(
        drained_job, lambda fleet, _: fleet.undrain("alpha"), 12, 30, {SOON_RUN: SUCCEEDED}, 1, TWO
    ),
    "jobs are evened out": Scenario(uneven_jobs, wait, 25, 80, {}, 0, TWO, even),
}
LOSSES = [fakes.lose_call, fakes.lose_reply]
CRASHES = [fakes.crash_before, fakes.crash_after]
KINDS = [("leader", bring) for bring in LOSSES + CRASHES]
KINDS += [("worker", bring) for bring in LOSSES + CRASHES]
KINDS += [("api", bring) for bring in LOSSES]


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize(("who", "bring"), KINDS)
def test_trouble_at_any_call_changes_nothing(
    name: str, who: str, bring: Bring[object], store: Store, tmp_path: Path
) -> None:
    play_all(SCENARIOS[name], who, lambda _fleet: bring, store, tmp_path)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_second_leader_may_take_over_at_any_call_of_the_first_which_then_changes_nothing(
    name: str, store: Store, tmp_path: Path
) -> None:
    play_all(
        SCENARIOS[name], "leader", lambda fleet: lambda _call, go_on: fleet.take_over(go_on), store, tmp_path
    )


def play_all(
    scenario: Scenario, who: str, bring: Callable[[Fleet], Bring[object]], store: Store, folder: Path
) -> None:
    """Play the scenario once for each of its calls, with the trouble at that call."""
    calls = play(scenario, who, None, bring, store, folder / "quiet")
    for at in range(len(calls)):
        try:
            play(scenario, who, at, bring, store, folder / str(at))
        except AssertionError as error:
            raise AssertionError(
                f"with trouble at {calls[at]}, call {at} of {len(calls)}: {error}"
            ) from error


def play(
    scenario: Scenario,
    who: str,
    at: int | None,
    bring: Callable[[Fleet], Bring[object]],
    store: Store,
    folder: Path,
) -> list[str]:
    """Returns the calls that trouble could come to."""
    folder.mkdir()
    trouble = Trouble()
    fleet = Fleet(folder, blank(store), scenario.nodes, {who: trouble})
    fleet.go(2)
    job = scenario.arrange(fleet)
    trouble.arm(at, bring(fleet))
    scenario.act(fleet, job)
    fleet.go(scenario.lasts)
    calls = trouble.disarm()
    fleet.go(scenario.heals)
    scenario.then(fleet)
    assert not (wrong := complaints(fleet)), wrong
    ends = {HAND if HAND in run_id else run_id: run.state for run_id, run in fleet.runs().items()}
    assert ends == scenario.ends
    assert len(fleet.starts()) == scenario.starts
    return calls
