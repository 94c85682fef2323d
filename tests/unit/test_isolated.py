"""A node is cut off, and jobs that nobody else may have go on there: each tick begins once, and all is told."""

from datetime import timedelta

from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, minute, ran, states, succeeded
from support.labelled import RUN, TICK, MakeFleet
from support.promise import complaints

from cronkeeper.common.model import Concurrency, Retry, RunState, SkipReason, WhenIsolated


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


def test_after_a_reboot_it_waits_for_the_tree_and_nothing_begins_again(fleet: Fleet) -> None:
    fleet.submit(**ALONE)
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, 3)
    fleet.power_off("alpha")
    fleet.work("alpha")
    cut(fleet)
    minute(fleet, 5)
    assert fleet.starts() == ran(1, 2, 3)
    heal(fleet)
    minute(fleet, 6)
    assert fleet.starts() == ran(1, 2, 3, 5, 6)
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
