"""A node is cut off, its jobs go on there, and somebody changes them, or the fleet, meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.fakes import Crash, Trouble, lose_call
from support.fleet import RUN_LEASE, Fleet
from support.isolating import ALONE, cut, heal, minute, ran, states, succeeded
from support.labelled import TICK, MakeFleet
from support.promise import complaints
from support.samples import new_job

from cronkeeper.common import isolation
from cronkeeper.common.coordination import paths
from cronkeeper.common.model import CatchUp, OnNodeLoss, RunState, SkipReason, WhenIsolated


@pytest.mark.parametrize("seconds", [5.0, 300.0])
def test_an_edit_of_the_schedule_takes_effect_when_the_node_is_back(fleet: Fleet, seconds: float) -> None:
    """Those that began by the old one stay told; those of the new one in that time are told as edited."""
    job = fleet.submit(**ALONE | {"schedule": "*/2 * * * *"})
    minute(fleet, 2)
    cut(fleet)
    fleet.go(seconds)
    fleet.change(job, schedule="*/3 * * * *")
    minute(fleet, 10)
    assert fleet.starts() == ran(2, 4, 6, 8, 10)
    heal(fleet)
    minute(fleet, 12)
    assert fleet.starts() == ran(2, 4, 6, 8, 10, 12)
    told = {run_id: run.reason for run_id, run in fleet.runs().items() if run.state is RunState.SKIPPED}
    first = 3 if seconds < 60 else 9
    assert told == dict.fromkeys(ran(*(each for each in (3, 9) if each >= first)), SkipReason.EDITED)
    assert complaints(fleet) == []


def test_an_edit_that_the_node_did_not_hear_of_skips_nothing_that_began_there(fleet: Fleet) -> None:
    """Its session lives on while nothing that is said reaches it."""
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    trouble = fleet.daemons["alpha"].tree
    trouble.faults = Trouble()
    trouble.faults.always(lose_call)
    minute(fleet, 3)
    fleet.change(job, schedule="30 */2 * * *")
    fleet.go(5)
    assert fleet.job(job).published_rev == 2
    minute(fleet, 5)
    trouble.faults.disarm()
    fleet.go(20)
    succeeded(fleet, 1, 2, 3, 4, 5)


def test_a_pause_reaches_the_node_when_it_is_back(fleet: Fleet) -> None:
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 2)
    fleet.change(job, enabled=False)
    minute(fleet, 4)
    heal(fleet)
    minute(fleet, 6)
    succeeded(fleet, 1, 2, 3, 4)


def test_a_job_that_is_removed_meanwhile_goes_on_until_the_node_is_back_and_all_of_it_is_told(
    fleet: Fleet,
) -> None:
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 2)
    fleet.remove(job)
    minute(fleet, 4)
    heal(fleet)
    minute(fleet, 6)
    assert fleet.starts() == ran(1, 2, 3, 4)
    assert set(states(fleet).values()) == {RunState.SUCCEEDED}
    assert fleet.machines["alpha"].folders() == []
    assert list((fleet.machines["alpha"].home / "alone").glob("*")) == []


@pytest.mark.parametrize("session", ["lives", "ends"])
def test_a_job_leaves_the_node_only_once_that_has_said_what_it_began(
    make_fleet: MakeFleet, session: str
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(**ALONE | {"catch_up": CatchUp.ALL})
    minute(fleet, 1)
    tree = fleet.daemons["alpha"].tree
    if session == "ends":
        cut(fleet)
    else:
        tree.faults = Trouble()
        tree.faults.always(lose_call)
    minute(fleet, 2)
    fleet.change(job, node="beta", when_isolated=WhenIsolated.FINISH)
    minute(fleet, 4)
    assert fleet.machines["beta"].starts == []
    if session == "ends":
        heal(fleet)
    elif tree.faults is not None:
        tree.faults.disarm()  # type: ignore[attr-defined]
    minute(fleet, 6)
    assert fleet.machines["alpha"].starts == ran(1, 2, 3, 4)
    assert fleet.machines["beta"].starts == ran(5, 6)
    assert fleet.job(job).assigned_node == "beta"
    assert complaints(fleet) == []


def test_a_drain_waits_for_the_node(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    fleet.drain("alpha")
    minute(fleet, 4)
    assert fleet.claim(job)[0] == "alpha"
    heal(fleet)
    minute(fleet, 5)
    assert fleet.job(job).assigned_node is None
    assert fleet.starts() == ran(1, 2, 3, 4)
    fleet.undrain("alpha")
    minute(fleet, 7)
    assert set(ran(6, 7)) <= set(fleet.starts())
    assert complaints(fleet) == []


def test_a_node_that_is_forgotten_has_the_job_taken_off_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.power_off("alpha")
    fleet.go(RUN_LEASE)
    fleet.forget("alpha")
    fleet.change(job, node="beta")
    fleet.go(30)
    assert fleet.job(job).assigned_node == "beta"
    minute(fleet, 5)
    assert ran(5)[0] in fleet.machines["beta"].starts


@pytest.mark.parametrize("sent", [False, True])
def test_what_a_node_began_alone_before_it_was_forgotten_does_not_begin_again(
    make_fleet: MakeFleet, sent: bool
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(**ALONE | {"catch_up": CatchUp.ALL})
    minute(fleet, 1)
    cut(fleet)
    del fleet.loops["alpha's reporter"]
    minute(fleet, 3)
    if sent:
        fleet.change(job, node="beta")
        fleet.go(10)
    fleet.power_off("alpha")
    fleet.forget("alpha")
    fleet.change(job, node="beta")
    minute(fleet, 6)
    assert fleet.machines["alpha"].starts == ran(1, 2, 3)
    assert fleet.machines["beta"].starts == ran(4, 5, 6)
    assert states(fleet)[ran(3)[0]] is RunState.SKIPPED
    assert fleet.runs()[ran(3)[0]].reason.startswith("unvouched")  # type: ignore[union-attr]


def test_after_a_wiped_tree_the_record_tells_what_began_and_no_tick_begins_twice(fleet: Fleet) -> None:
    job = fleet.submit(**ALONE | {"catch_up": CatchUp.ALL})
    minute(fleet, 1)
    held = fleet.loops.pop("alpha's reporter")
    cut(fleet)
    minute(fleet, 3)
    fleet.lose_tree()
    minute(fleet, 4)
    heal(fleet)
    fleet.go(20)
    assert fleet.claim(job)[1].watermark == TICK + timedelta(minutes=3)
    fleet.loops["alpha's reporter"] = held
    minute(fleet, 6)
    succeeded(fleet, 1, 2, 3, 4, 5, 6)


def test_another_leader_meanwhile_changes_nothing(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 2)
    fleet.stop("first")
    fleet.lead("second")
    minute(fleet, 4)
    heal(fleet)
    minute(fleet, 6)
    succeeded(fleet, 1, 2, 3, 4, 5, 6)


def test_a_run_by_hand_waits_for_the_node(fleet: Fleet) -> None:
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    run = fleet.request(job)
    minute(fleet, 3)
    assert run.id not in fleet.starts()
    heal(fleet)
    fleet.go(20)
    assert run.id in fleet.starts()
    assert complaints(fleet) == []


def test_the_tree_says_that_the_node_may_go_on_and_no_more_once_the_job_does_not_ask_for_it(
    fleet: Fleet,
) -> None:
    job = fleet.submit(**ALONE)
    fleet.go(5)
    assert fleet.claim(job)[1].alone
    fleet.change(job, when_isolated=WhenIsolated.FINISH)
    fleet.go(5)
    assert not fleet.claim(job)[1].alone
    assert fleet.desk.tree.children(paths.claims("alpha")) != []


def test_with_rerun_nothing_of_this_is_allowed(fleet: Fleet) -> None:
    """The API refuses it; should such a job be there all the same, its node does not go on."""
    job = new_job(**ALONE | {"on_node_loss": OnNodeLoss.RERUN})
    assert "exclude each other" in str(isolation.complaint(job))
    assert "nowhere else" in str(isolation.complaint(new_job(when_isolated=WhenIsolated.RUN)))
    assert isolation.complaint(new_job(**ALONE)) is None
    assert not isolation.goes_on(job)


def test_a_daemon_that_has_given_the_job_back_does_not_go_on_with_it_when_started_again(
    make_fleet: MakeFleet,
) -> None:
    """It died before it knew that it had, and is cut off once more: another node has the job by then."""
    trouble = Trouble()
    fleet = make_fleet("alpha", "beta", trouble={"worker": trouble})
    job = fleet.submit(**ALONE | {"catch_up": CatchUp.ALL})
    minute(fleet, 1)
    trouble.always(lose_call)
    minute(fleet, 3)
    fleet.change(job, node="beta", when_isolated=WhenIsolated.FINISH)
    given_back: list[str] = []

    def crash_when_given_back(call: str, carry_out: Callable[[], Any]) -> Any:
        done = carry_out()
        if call == "commit" and not given_back and not fleet.claim(job)[1].alone:
            given_back.append(call)
            fleet.restart = lambda name: (Fleet.restart(fleet, name), cut(fleet, name))  # type: ignore
            raise Crash
        return done

    fleet.go(5)
    trouble.always(crash_when_given_back)
    minute(fleet, 6)
    trouble.disarm()
    assert given_back
    assert fleet.machines["alpha"].starts == ran(1, 2, 3)
    assert fleet.machines["beta"].starts == ran(4, 5, 6)
    heal(fleet)
    minute(fleet, 7)
    assert fleet.starts() == ran(1, 2, 3, 4, 5, 6, 7)
    assert complaints(fleet) == []


def test_after_a_schedule_was_heard_of_for_a_moment_the_job_waits_for_the_tree(fleet: Fleet) -> None:
    """Which was away again before it was told what had begun by the old one."""
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    tree = fleet.daemons["alpha"].tree
    tree.faults = trouble = Trouble()
    trouble.always(lose_call)
    minute(fleet, 3)
    fleet.change(job, schedule="*/2 * * * *")
    minute(fleet, 5)

    def mute(call: str, carry_out: Callable[[], Any]) -> Any:
        return lose_call(call, carry_out) if call == "commit" else carry_out()

    trouble.always(mute)
    fleet.go(3)
    trouble.always(lose_call)
    minute(fleet, 9)
    assert fleet.starts() == ran(1, 2, 3, 4, 5)
    trouble.disarm()
    minute(fleet, 12)
    assert fleet.starts() == ran(1, 2, 3, 4, 5, 8, 10, 12)
    assert all(states(fleet)[run_id] is RunState.SUCCEEDED for run_id in fleet.starts())
    assert complaints(fleet) == []
