"""A node is cut off, and jobs that nobody else may have go on there: each tick begins once, and all is told."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.fakes import Trouble, crash_after, crash_before, lose_call, lose_reply
from support.fleet import RUN_LEASE, Fleet
from support.labelled import EACH_MINUTE, RUN, TICK, MakeFleet
from support.promise import blank, complaints

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import CatchUp, Concurrency, OnNodeLoss, RunState, SkipReason, WhenIsolated
from cronkeeper.common.store.store import Store

ALONE: dict[str, Any] = {"schedule": EACH_MINUTE, "node": "alpha", "when_isolated": WhenIsolated.RUN}


def ran(*minutes: int, job: int = 1) -> list[str]:
    """The runs of the ticks so many minutes after twelve."""
    return [f"{job}.1.20260301T12{minute:02d}00Z.1" for minute in minutes]


def cut(fleet: Fleet, node: str = "alpha") -> None:
    fleet.daemons[node].tree.disconnect()


def heal(fleet: Fleet, node: str = "alpha") -> None:
    fleet.daemons[node].tree.reconnect()


def minute(fleet: Fleet, number: float) -> None:
    """Go to so many minutes and half a minute after twelve."""
    fleet.until(TICK + timedelta(minutes=number - 1, seconds=30))


def states(fleet: Fleet) -> dict[str, RunState]:
    return {run_id: run.state for run_id, run in sorted(fleet.runs().items())}


def succeeded(fleet: Fleet, *minutes: int) -> None:
    """These ticks, and no others, began once each; nothing else is told of, and nothing left open."""
    assert fleet.starts() == ran(*minutes)
    assert states(fleet) == dict.fromkeys(ran(*minutes), RunState.SUCCEEDED)
    assert complaints(fleet) == []
    assert list((fleet.machines["alpha"].home / "alone").glob("*")) == []


def test_ticks_go_on_beginning_once_each_and_the_claim_tells_of_them_afterwards(fleet: Fleet) -> None:
    job = fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 2, 3, 4)
    heal(fleet)
    minute(fleet, 6)
    succeeded(fleet, 1, 2, 3, 4, 5, 6)
    assert fleet.claim(job)[1].watermark == TICK + timedelta(minutes=5)


def test_other_jobs_of_the_node_wait_meanwhile(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    fleet.submit(**ALONE | {"when_isolated": WhenIsolated.FINISH})
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 3)
    assert fleet.starts() == ran(1, 2, 3) + ran(1, job=2)
    heal(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 2, 3, 4) + ran(1, 3, 4, job=2)
    assert complaints(fleet) == []


def test_nothing_begins_by_the_record_while_the_lease_holds(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    fleet.until(TICK - timedelta(seconds=2))
    cut(fleet)
    fleet.until(TICK + timedelta(seconds=0.5))
    assert fleet.starts() == []
    fleet.until(TICK + timedelta(seconds=5))
    assert fleet.starts() == [RUN]


def test_with_forbid_the_nodes_own_runs_count_also_those_given_up_meanwhile(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    fleet.machines["alpha"].run_seconds = 190.0
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 3)
    assert fleet.starts() == [RUN]
    assert states(fleet)[RUN] is RunState.LOST
    heal(fleet)
    fleet.go(20)
    assert fleet.starts() == [RUN]
    fleet.machines["alpha"].run_seconds = 1.0
    minute(fleet, 6)
    assert fleet.starts() == ran(1, 5, 6)
    skipped = dict.fromkeys(ran(2, 3, 4), RunState.SKIPPED)
    assert states(fleet) == dict.fromkeys(ran(1, 5, 6), RunState.SUCCEEDED) | skipped
    assert {run.reason for run in fleet.runs().values() if run.state is RunState.SKIPPED} == {
        SkipReason.STILL_RUNNING
    }
    assert complaints(fleet) == []


def test_what_goes_on_at_the_heal_is_not_begun_again_and_blocks_as_before(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    fleet.machines["alpha"].run_seconds = 100.0
    minute(fleet, 3)
    fleet.machines["alpha"].run_seconds = 1.0
    heal(fleet)
    minute(fleet, 5)
    assert fleet.starts() == ran(1, 2, 4, 5)
    assert states(fleet)[ran(3)[0]] is RunState.SKIPPED
    assert complaints(fleet) == []


def test_fencing_tokens_go_on_growing(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 2)
    for number in (4, 6):
        cut(fleet)
        minute(fleet, number)
        heal(fleet)
        minute(fleet, number + 1)
    tokens = [tuple(map(int, command.plan.token.split("."))) for command in fleet.machines["alpha"].commands]
    assert len(tokens) == 7
    assert tokens == sorted(set(tokens))
    succeeded(fleet, 1, 2, 3, 4, 5, 6, 7)


def test_a_further_attempt_begins_meanwhile_too(fleet: Fleet) -> None:
    from cronkeeper.common.model import Retry

    fleet.machines["alpha"].exits = lambda plan: 1 if plan.attempt == 1 else 0
    fleet.submit(**ALONE, retry=Retry(attempts=1, delay=10.0))
    fleet.go(5)
    cut(fleet)
    minute(fleet, 2)
    heal(fleet)
    fleet.go(25)
    assert fleet.starts() == sorted([*ran(1, 2), *(run_id[:-1] + "2" for run_id in ran(1, 2))])
    assert set(states(fleet).values()) == {RunState.FAILED, RunState.SUCCEEDED}
    assert complaints(fleet) == []


def test_places_are_kept_to_meanwhile(fleet: Fleet) -> None:
    fleet.machines["alpha"].max_running = 1
    fleet.restart("alpha")
    for _ in range(3):
        fleet.submit(**ALONE)
    fleet.go(5)
    cut(fleet)
    minute(fleet, 3)
    assert len(fleet.starts()) == 9
    assert fleet.machines["alpha"].crowd == 1
    heal(fleet)
    minute(fleet, 4)
    assert len(fleet.starts()) == 12
    assert complaints(fleet) == []


def test_a_daemon_that_is_started_again_while_it_is_cut_off_goes_on_from_its_record(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 3)
    fleet.restart("alpha")
    cut(fleet)
    minute(fleet, 5)
    assert fleet.starts() == ran(1, 2, 3, 4, 5)
    heal(fleet)
    minute(fleet, 6)
    succeeded(fleet, 1, 2, 3, 4, 5, 6)


def test_a_daemon_that_had_no_record_waits_for_the_tree(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.restart("alpha")
    cut(fleet)
    minute(fleet, 3)
    assert fleet.starts() == [RUN]
    heal(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 3, 4)
    assert complaints(fleet) == []


def test_a_record_that_was_not_written_to_its_end_tells_nothing(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    fleet.stop("alpha")
    folder = fleet.machines["alpha"].home / "alone"
    folder.mkdir(exist_ok=True)
    (folder / "1.1").write_bytes(b'{"name"')
    fleet.work("alpha")
    minute(fleet, 3)
    assert fleet.starts() == ran(1, 2, 3)


def test_while_the_disk_is_full_nothing_begins_and_what_is_late_begins_once_there_is_room(
    fleet: Fleet,
) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    folder = fleet.machines["alpha"].home / "alone"
    folder.write_bytes(b"")  # no file can be made below it
    cut(fleet)
    minute(fleet, 3)
    assert fleet.starts() == [RUN]
    folder.unlink()
    fleet.go(5)
    assert fleet.starts() == ran(1, 3)
    heal(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 3, 4)
    assert complaints(fleet) == []


class Severed(Fleet):
    """Whose nodes are still cut off when their daemon is started again."""

    severed = False

    def restart(self, name: str) -> None:
        super().restart(name)
        if self.severed:
            cut(self, name)


def troubled(folder: Path, memory: Store, at: int | None, bring: Any, when: str) -> int:
    """One fleet, with trouble at that call: at the cut, meanwhile, or at the heal. Returns how many there were."""
    shutil.rmtree(folder / "alpha", ignore_errors=True)
    trouble = Trouble()
    fleet = Severed(folder, blank(memory), ["alpha"], {"worker": trouble})
    fleet.go(2)
    fleet.submit(**ALONE | {"catch_up": CatchUp.ALL})
    calls = {}

    def armed(part: str, seconds: float) -> None:
        if part == when:
            trouble.arm(at, bring)
        fleet.until(TICK + timedelta(seconds=seconds))
        calls[part] = len(trouble.disarm())

    fleet.until(TICK - timedelta(seconds=1))
    armed("cut", 2)
    cut(fleet)
    fleet.severed = True
    fleet.until(TICK + timedelta(seconds=59.9))
    armed("meanwhile", 61)
    fleet.until(TICK + timedelta(seconds=66))
    fleet.until(TICK + timedelta(seconds=90))
    fleet.severed = False
    heal(fleet)
    armed("heal", 100)
    fleet.until(TICK + timedelta(seconds=150))
    assert fleet.starts() == ran(1, 2, 3), at
    assert set(states(fleet).values()) == {RunState.SUCCEEDED}, at
    assert complaints(fleet) == [], at
    return calls[when]


@pytest.mark.parametrize("when", ["cut", "meanwhile", "heal"])
@pytest.mark.parametrize("bring", [lose_call, lose_reply, crash_before, crash_after])
def test_whatever_call_is_lost_no_tick_begins_twice_or_not_at_all(
    tmp_path: Path, memory: Store, bring: Any, when: str
) -> None:
    calls = troubled(tmp_path, memory, None, bring, when)
    for at in range(calls):
        troubled(tmp_path, memory, at, bring, when)
    assert calls > 5


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


def test_with_allow_runs_go_on_side_by_side(fleet: Fleet) -> None:
    fleet.submit(**ALONE | {"concurrency": Concurrency.ALLOW})
    fleet.machines["alpha"].run_seconds = 150.0
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 4)
    heal(fleet)
    minute(fleet, 5)
    assert fleet.starts() == ran(1, 2, 3, 4, 5)
    assert fleet.machines["alpha"].crowd == 3


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


def by_the_clock(fleet: Fleet, ahead: float) -> list[str]:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    fleet.go(10)
    fleet.machines["alpha"].wall_offset = ahead
    minute(fleet, 3)
    return fleet.starts()


def test_a_clock_that_was_stepped_too_far_meanwhile_starts_nothing(make_fleet: MakeFleet) -> None:
    assert by_the_clock(make_fleet("alpha"), 20.0) == [RUN]


def test_a_clock_that_was_stepped_a_little_starts_its_ticks_by_that(make_fleet: MakeFleet) -> None:
    assert by_the_clock(make_fleet("alpha"), 2.0) == ran(1, 2, 3)


def test_with_rerun_nothing_of_this_is_allowed(fleet: Fleet) -> None:
    """The API refuses it; should such a job be there all the same, its node does not go on."""
    from support.samples import new_job

    from cronkeeper.common import isolation

    job = new_job(**ALONE | {"on_node_loss": OnNodeLoss.RERUN})
    assert "exclude each other" in str(isolation.complaint(job))
    assert "nowhere else" in str(isolation.complaint(new_job(when_isolated=WhenIsolated.RUN)))
    assert isolation.complaint(new_job(**ALONE)) is None
    assert not isolation.goes_on(job)
