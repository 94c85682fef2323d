"""Runs that SQL calls unfinished and nobody has any more are lost."""

import shutil
from collections.abc import Callable

import pytest
from support.audited import Audited, set_back, state
from support.fleet import Fleet
from support.samples import unfinished

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import SetData
from cronkeeper.common.facts import Facts
from cronkeeper.common.ledger import Result
from cronkeeper.common.model import Claim, RunState, decode, encode, replace


@pytest.fixture
def audited(fleet: Fleet) -> Audited:
    return Audited(fleet)


def test_a_run_that_neither_its_node_nor_a_claim_has_is_lost(
    audited: Audited, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = audited.fleet
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    set_back(fleet, run_id)
    lost = metrics.RUNS_LOST._value.get()
    audited.go(1)
    assert state(fleet, run_id) is RunState.RUNNING
    audited.go(3)
    assert state(fleet, run_id) is RunState.LOST
    assert fleet.runs()[run_id].reason == "node alpha knows nothing of it any more, and no claim lists it"
    assert metrics.RUNS_LOST._value.get() == lost + 1
    assert audited.results(job)[0] is Result.LOST


def test_a_run_of_a_removed_job_goes_on_as_long_as_its_node_says_so(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 900.0
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.remove(job)
    audited.go(12)
    assert state(fleet, run_id) is RunState.RUNNING
    audited.go(4)
    assert state(fleet, run_id) is RunState.SUCCEEDED


def test_a_run_of_a_removed_job_is_lost_when_its_node_was_wiped(audited: Audited) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 3600.0
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.remove(job)
    fleet.go(60)
    fleet.stop("alpha")
    shutil.rmtree(alpha.home)
    alpha.running.clear()
    fleet.work("alpha")
    audited.go(6)
    assert state(fleet, run_id) is RunState.LOST


def test_a_run_that_a_claim_lists_and_the_node_does_not_know_is_lost_by_the_nodes_own_word(
    audited: Audited,
) -> None:
    fleet, alpha = audited.fleet, audited.fleet.machines["alpha"]
    alpha.run_seconds = 3600.0
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.stop("alpha")
    shutil.rmtree(alpha.home)
    alpha.running.clear()
    fleet.work("alpha")
    fleet.go(60)
    assert state(fleet, run_id) is RunState.LOST


def test_what_a_claim_lists_is_left_to_whoever_has_the_claim(audited: Audited) -> None:
    fleet = audited.fleet
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    fleet.stop("alpha")  # and it stays away, without its session's end being seen
    _list_in_claim(fleet, run_id)
    set_back(fleet, run_id)
    fleet.loops.clear()
    audited.go(20)
    assert state(fleet, run_id) is RunState.RUNNING


def _list_in_claim(fleet: Fleet, run_id: str) -> None:
    tree = fleet.desk.tree
    ((node, name),) = fleet.claims()
    path = paths.claim(node, name)
    found = tree.get(path)
    one = unfinished(run_id, tick=fleet.runs()[run_id].tick, node=node)
    claim = replace(decode(found.data, Claim), unfinished=(one,))
    tree.commit([SetData(path, encode(claim), found.version)])


def test_a_node_that_does_not_say_what_it_has_is_left_alone(audited: Audited) -> None:
    fleet = audited.fleet
    fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    standing = fleet.daemons["alpha"].worker._parts.standing  # type: ignore[union-attr]
    standing.runs = lambda: None  # as a worker of the version before
    set_back(fleet, run_id)
    audited.go(8)
    assert state(fleet, run_id) is RunState.RUNNING
    told = decode(fleet.desk.tree.get(paths.facts("alpha")).data, Facts)
    assert told.runs is None


def test_a_run_of_a_node_that_is_gone_for_good_is_lost_though_no_claim_leads_to_it(
    make_fleet: Callable[..., Fleet],
) -> None:
    audited = Audited(make_fleet("alpha", "beta"))
    fleet = audited.fleet
    job = fleet.submit(schedule="*/5 * * * *")
    fleet.go(60 * 6)
    (run_id,) = fleet.runs()
    node = fleet.runs()[run_id].node
    assert node is not None
    set_back(fleet, run_id)
    fleet.power_off(node)
    audited.go(6)
    assert state(fleet, run_id) is RunState.LOST
    assert fleet.runs()[run_id].reason == f"node {node} is gone, and no claim lists it"
    assert fleet.job(job).assigned_node != node


def test_a_run_that_a_claim_elsewhere_lists_and_of_which_sql_has_forgotten_the_end_is_lost(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("alpha", "beta")
    audited = Audited(fleet)
    for machine in fleet.machines.values():
        machine.run_seconds = 40.0
    job = fleet.submit(schedule="* * * * *")
    fleet.go(33)
    node, _ = fleet.claim(job)
    fleet.stop(node)
    fleet.go(15)
    moved, claim = fleet.claim(job)
    assert moved != node
    (run,) = claim.unfinished
    held = fleet.loops.pop("first")
    fleet.work(node)
    fleet.go(40)
    assert state(fleet, run.run_id) is RunState.SUCCEEDED
    set_back(fleet, run.run_id)
    fleet.loops["first"] = held
    for machine in fleet.machines.values():
        machine.run_seconds = 1.0
    audited.auditor = audited.another()
    audited.go(8)
    assert state(fleet, run.run_id) is RunState.LOST
    assert run.run_id not in {each.run_id for each in fleet.claim(job)[1].unfinished}
