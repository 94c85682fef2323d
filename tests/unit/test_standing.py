"""What a node tells of itself, and its configuration while it runs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.fakes import BEGIN, Bring, Trouble, lose_call, lose_reply
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, SSD, MakeFleet

from cronkeeper.cli.working import unfenced
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Delete
from cronkeeper.common.errors import Conflict, NotFound, Unavailable
from cronkeeper.common.facts import ConditionName, Configuration, Facts
from cronkeeper.common.model import LiveNode, decode
from cronkeeper.common.store import audit
from cronkeeper.manager import nodes
from cronkeeper.worker.standing import TELL_EVERY, UNIT

WRONG = "worker.labels (from /etc/cronkeeper.toml) is wrong"


def told(fleet: Fleet) -> Facts:
    """What alpha said last."""
    return decode(fleet.desk.tree.get(paths.facts("alpha")).data, Facts)


def configuration(fleet: Fleet) -> Configuration:
    known = told(fleet).configuration
    assert known is not None
    return known


def sign(fleet: Fleet) -> LiveNode:
    return decode(fleet.desk.tree.get(paths.live("alpha")).data, LiveNode)


def ask(fleet: Fleet) -> str:
    return nodes.reload(fleet.desk, "alpha", "ann", fleet.time.now)


def waits(fleet: Fleet) -> bool:
    return fleet.desk.tree.get_many([paths.reload("alpha")]) != [None]


def skew(fleet: Fleet, seconds: float) -> None:
    standing = fleet.daemons["alpha"].worker._parts.standing  # type: ignore[union-attr]
    standing.wall = lambda: fleet.time.wall() + seconds


def test_the_facts_are_told_at_once_and_then_each_minute(fleet: Fleet) -> None:
    first = told(fleet)
    assert (first.hostname, first.cores) == ("db1.example", 4)
    assert fleet.time.now - first.told_at < timedelta(seconds=3)
    assert configuration(fleet) == Configuration(loaded_at=BEGIN)
    version = fleet.desk.tree.get(paths.facts("alpha")).version
    fleet.go(3 * TELL_EVERY)
    assert fleet.desk.tree.get(paths.facts("alpha")).version == version + 3
    assert told(fleet).told_at - first.told_at == pytest.approx(
        timedelta(minutes=3), abs=timedelta(seconds=5)
    )


def test_the_clock_is_measured_against_the_trees_and_told_with_its_error(fleet: Fleet) -> None:
    assert (told(fleet).clock_offset, told(fleet).clock_error) == (0.0, UNIT), "already in what is told first"
    skew(fleet, 2.5)
    fleet.go(2 * TELL_EVERY)
    assert told(fleet).clock_offset == 2.5
    skew(fleet, -0.75)
    fleet.go(2 * TELL_EVERY)
    assert told(fleet).clock_offset == -0.75


def test_what_a_node_said_outlives_it(fleet: Fleet) -> None:
    before = told(fleet)
    fleet.power_off("alpha")
    fleet.go(60)
    seen = nodes.get(fleet.desk, "alpha")
    assert (seen.is_live, seen.facts) == (False, before)
    assert [each.facts for each in nodes.listing(fleet.desk)] == [None]


def test_facts_that_nobody_here_understands_are_not_shown(fleet: Fleet) -> None:
    path = paths.facts("alpha")
    fleet.power_off("alpha")
    node = fleet.desk.tree.get(path)
    fleet.desk.tree.commit([Delete(path, node.version)])
    assert nodes.get(fleet.desk, "alpha").facts is None
    fleet.desk.tree.ensure(path)
    assert nodes.get(fleet.desk, "alpha").facts is None


def test_labels_that_change_by_a_signal_bring_a_job_here_without_a_restart(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha", "beta")
    job = fleet.submit(schedule=NEVER, requires=SSD)
    fleet.go(7)
    assert fleet.job(job).assigned_node is None
    before = sign(fleet)
    fleet.machines["alpha"].labels = SSD
    fleet.go(7)
    assert fleet.job(job).assigned_node is None, "nobody has asked for it yet"
    fleet.hang_up("alpha")
    fleet.go(7)
    assert fleet.job(job).assigned_node == "alpha"
    assert (sign(fleet).labels, sign(fleet).incarnation) == (SSD, before.incarnation)
    assert told(fleet).labels == SSD
    assert (configuration(fleet).error, configuration(fleet).request) == (None, None)
    assert configuration(fleet).loaded_at > BEGIN


def test_a_wrong_configuration_changes_nothing_and_says_why_until_it_is_right(fleet: Fleet) -> None:
    machine = fleet.machines["alpha"]
    machine.labels, machine.configuration_error = dict(SSD), WRONG
    fleet.hang_up("alpha")
    fleet.go(2)
    assert (sign(fleet).labels, configuration(fleet).error) == ({}, WRONG)
    machine.configuration_error = None
    fleet.hang_up("alpha")
    fleet.go(2)
    assert (sign(fleet).labels, configuration(fleet).error) == (SSD, None)


def test_more_places_count_for_what_waits_already(fleet: Fleet) -> None:
    fleet.machines["alpha"].max_running = 1
    fleet.hang_up("alpha")
    fleet.machines["alpha"].run_seconds = 300.0
    for _ in range(3):
        fleet.submit(schedule=EACH_MINUTE)
    fleet.go(50)
    assert len(fleet.starts()) == 1
    fleet.machines["alpha"].max_running = 2
    fleet.hang_up("alpha")
    fleet.go(2)
    assert len(fleet.starts()) == 2


def test_a_request_is_seen_to_and_answered_by_its_name(fleet: Fleet) -> None:
    fleet.machines["alpha"].labels = dict(SSD)
    request = ask(fleet)
    assert waits(fleet)
    fleet.go(1)
    assert (configuration(fleet).request, sign(fleet).labels) == (request, SSD)
    assert not waits(fleet)
    again = ask(fleet)
    fleet.go(1)
    assert configuration(fleet).request == again != request


def test_who_asks_while_another_is_being_answered_gets_a_reading_that_came_after(
    make_fleet: MakeFleet,
) -> None:
    trouble = Trouble()
    fleet = make_fleet("alpha", trouble={"worker": trouble})
    seconds: list[str] = []

    def ask_just_before(_call: str, carry_out: Callable[[], object]) -> object:
        fleet.machines["alpha"].labels = dict(SSD)
        seconds.append(ask(fleet))
        return carry_out()

    trouble.arm(None, lose_call)
    ask(fleet)
    fleet.go(1)
    calls = trouble.disarm()
    trouble.arm(calls.index("commit"), ask_just_before)
    first = ask(fleet)
    fleet.go(3)
    assert seconds == [first], "one answer does for both, if it comes late enough"
    assert (configuration(fleet).request, waits(fleet)) == (first, False)
    assert sign(fleet).labels == SSD


@pytest.mark.parametrize("bring", [lose_call, lose_reply])
def test_a_request_is_answered_whatever_call_is_lost(make_fleet: MakeFleet, bring: Bring[object]) -> None:
    trouble = Trouble()
    fleet = make_fleet("alpha", trouble={"worker": trouble})
    trouble.arm(None, bring)
    ask(fleet)
    fleet.go(3)
    count = len(trouble.disarm())
    assert count > 4
    for at in range(count):
        trouble.arm(at, bring)
        request = ask(fleet)
        fleet.go(3)
        trouble.disarm()
        fleet.go(3)
        assert (configuration(fleet).request, waits(fleet)) == (request, False), f"trouble at call {at}"


def test_a_request_that_finds_no_worker_is_seen_to_by_the_next_one(fleet: Fleet) -> None:
    fleet.stop("alpha")
    request = ask(fleet)  # its session has not timed out yet
    fleet.go(20)
    with pytest.raises(Conflict, match="node alpha is not live"):
        ask(fleet)
    fleet.work("alpha")
    fleet.go(3)
    assert (configuration(fleet).request, waits(fleet)) == (request, False)


def test_who_asked_is_in_the_audit(fleet: Fleet) -> None:
    ask(fleet)
    found = [each for each in fleet.store.transaction(audit.listing) if each.action == "node.reload"]
    assert [(each.actor, each.detail) for each in found] == [("ann", "alpha")]


def test_a_node_that_is_not_there_cannot_be_asked(fleet: Fleet) -> None:
    with pytest.raises(NotFound):
        nodes.reload(fleet.desk, "none", "ann", fleet.time.now)
    fleet.desk.tree.disconnect()  # type: ignore[attr-defined]
    with pytest.raises(Unavailable):
        ask(fleet)
    assert nodes.get(fleet.desk, "alpha").facts is None


def test_a_worker_whose_guard_has_no_fence_says_so_and_what_to_do(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    assert unfenced(3) == ()
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    worker._parts.standing.lasting = unfenced(None)
    fleet.go(90)
    (condition,) = told(fleet).conditions
    assert condition.name is ConditionName.NO_FENCE
    assert "restart the whole service" in condition.reason
    assert len([record for record in caplog.records if record.getMessage() == condition.reason]) == 1
