"""A daemon stands still at any of its calls until its session is over, and then goes on as if nothing had been."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import Bring, Trouble
from support.fleet import Fleet
from support.labelled import RUN
from support.promise import blank, complaints

from cronkeeper.common.model import RunState
from cronkeeper.common.store.store import Store
from cronkeeper.worker.run_folder import RunFolder

TWICE = "1,3 * * * *"
"""Due at 12:01, half a minute after the beginning, and once more when all is over."""
THIRD = "1.1.20260301T120300Z.1"
FROZEN = 90.0
"""Longer than session and run_lease together: by then another node has the job, and its run has been settled."""

MakeFreeze = Callable[[Fleet, str], Bring[object]]


def freeze_before(fleet: Fleet, name: str) -> Bring[object]:
    """The call is made when the daemon goes on."""

    def bring(_call: str, carry_out: Callable[[], object]) -> object:
        stand_still(fleet, name)
        return carry_out()

    return bring


def freeze_after(fleet: Fleet, name: str) -> Bring[object]:
    """The call is carried out, and its answer lies there when the daemon goes on."""

    def bring(_call: str, carry_out: Callable[[], object]) -> object:
        try:
            return carry_out()
        finally:
            stand_still(fleet, name)

    return bring


def stand_still(fleet: Fleet, name: str) -> None:
    """The daemon alone: what it has started goes on. Nothing that a node had is its own when it wakes."""
    parts = {part: fleet.loops.pop(part) for part in (name, f"{name}'s reporter") if part in fleet.loops}
    fleet.daemons[name].tree.disconnect()
    fleet.go(FROZEN)
    fleet.daemons[name].tree.reconnect()
    fleet.loops |= parts
    if name in fleet.machines:
        fleet.machines[name].wrap = refuse  # type: ignore[method-assign]


def refuse(folder: RunFolder) -> None:
    """In place of a wrapper."""
    raise AssertionError(f"{folder.plan.run_id} is started by a node that has lost it")


@pytest.mark.parametrize("freeze", [freeze_before, freeze_after])
def test_a_node_that_wakes_starts_nothing_that_is_no_longer_its_own(
    freeze: MakeFreeze, store: Store, tmp_path: Path
) -> None:
    calls = frozen_node(None, freeze, store, tmp_path / "quiet")
    assert "start" in calls
    for at in range(len(calls)):
        try:
            frozen_node(at, freeze, store, tmp_path / str(at))
        except AssertionError as error:
            raise AssertionError(f"frozen at {calls[at]}, call {at} of {len(calls)}: {error}") from error


def frozen_node(at: int | None, freeze: MakeFreeze, store: Store, folder: Path) -> list[str]:
    """alpha's job is due, and falls due again when it has been beta's for long. Returns alpha's calls."""
    folder.mkdir()
    fleet, trouble = Fleet(folder, blank(store), ("alpha", "beta")), Trouble()
    fleet.trouble["worker"] = trouble
    fleet.restart("alpha")
    fleet.machines["alpha"].run_seconds = 20
    fleet.go(2)
    job = fleet.submit(schedule=TWICE)
    fleet.go(27.9)
    assert fleet.claim(job)[0] == "alpha"
    trouble.arm(at, freeze(fleet, "alpha"))
    fleet.go(4)
    calls = trouble.disarm()
    fleet.go(200)
    assert max(Counter(fleet.starts()).values()) == 1
    assert complaints(fleet) == []
    ends = {run_id: run.state for run_id, run in fleet.runs().items()}
    started = RUN in fleet.starts()
    assert ends == {RUN: RunState.SUCCEEDED if started else RunState.LOST, THIRD: RunState.SUCCEEDED}
    return calls


@pytest.mark.parametrize("freeze", [freeze_before, freeze_after])
def test_a_leader_that_wakes_changes_nothing(freeze: MakeFreeze, store: Store, tmp_path: Path) -> None:
    calls = frozen_leader(None, freeze, store, tmp_path / "quiet")
    assert {"sql", "commit"} <= set(calls)
    for at in range(len(calls)):
        try:
            frozen_leader(at, freeze, store, tmp_path / str(at))
        except AssertionError as error:
            raise AssertionError(f"frozen at {calls[at]}, call {at} of {len(calls)}: {error}") from error


def frozen_leader(at: int | None, freeze: MakeFreeze, store: Store, folder: Path) -> list[str]:
    """A node dies, and its job is changed, run by hand and moved by the one who leads then. Returns calls."""
    folder.mkdir()
    trouble = Trouble()
    fleet = Fleet(folder, blank(store), ("alpha", "beta"), {"leader": trouble})
    fleet.go(2)
    del fleet.trouble["leader"]
    fleet.lead("second")
    job = fleet.submit(schedule=TWICE, node="alpha")
    fleet.go(20)
    trouble.arm(at, freeze(fleet, "first"))
    fleet.change(job, node=None)
    fleet.go(1)
    fleet.power_off("alpha")
    asked = fleet.request(job)
    fleet.go(12)
    calls = trouble.disarm()
    fleet.go(200)
    assert max(Counter(fleet.starts()).values()) == 1
    assert complaints(fleet) == []
    assert fleet.claim(job)[0] == "beta"
    ends = {run_id: run.state for run_id, run in fleet.runs().items()}
    assert ends.pop(asked.id) in (RunState.SUCCEEDED, RunState.SKIPPED), "it may find the job busy"
    assert ends == {RUN: RunState.SUCCEEDED, THIRD: RunState.SUCCEEDED}
    return calls
