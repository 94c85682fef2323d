"""Two workers by one name: a machine that was copied, or a session that came into two hands."""

import shutil
from datetime import timedelta

import pytest
from support.fakes import BEGIN, Machine
from support.fleet import SESSION, Fleet
from support.labelled import EACH_MINUTE, MakeFleet

from cronkeeper.common.coordination import paths
from cronkeeper.common.model import LiveNode, RunState, decode
from cronkeeper.worker.presence import SecondWorker
from cronkeeper.worker.worker import RESYNC

TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"
ORIGINAL = "the original"


def copied(fleet: Fleet, session: tuple[int, bytes] | None = None) -> Machine:
    """A machine with alpha's disk as it is now, another boot, and the same worker; alpha is ORIGINAL from now on.

    Its worker comes to a session of its own, unless one is given.
    """
    first = fleet.machines["alpha"]
    copy = Machine("alpha", first.home.with_name("copy"), fleet.time, boot_id="boot-of-the-copy")
    shutil.copytree(first.home, copy.home)
    fleet.machines |= {ORIGINAL: first, "alpha": copy}
    for end in ("", "'s reporter"):
        if f"alpha{end}" in fleet.loops:
            fleet.loops[f"{ORIGINAL}{end}"] = fleet.loops.pop(f"alpha{end}")
    fleet.daemons[ORIGINAL] = fleet.daemons["alpha"]
    fleet.work("alpha", session)
    return copy


def who(fleet: Fleet) -> str:
    return decode(fleet.desk.tree.get(paths.live("alpha")).data, LiveNode).incarnation


def running(fleet: Fleet, seconds: float) -> None:
    """A job whose first run has just begun, and goes on for so long."""
    fleet.machines["alpha"].run_seconds = seconds
    fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=1))
    assert fleet.starts() == [RUN]


def test_the_worker_of_a_copied_machine_is_refused_and_told_where_the_other_is_and_what_to_do(
    fleet: Fleet,
) -> None:
    before, began = who(fleet), fleet.time.seconds
    copied(fleet)
    with pytest.raises(SecondWorker) as refused:
        fleet.go(60)
    assert 2 * SESSION < fleet.time.seconds - began < 2 * SESSION + 2
    said = str(refused.value)
    assert f"live as node 'alpha', on host of alpha (incarnation {before})" in said
    assert "worker.node" in said
    assert "cronkeeper node add" in said
    assert "worker.home" in said
    assert who(fleet) == before


def test_a_copy_says_nothing_of_the_originals_runs_and_the_original_goes_on(fleet: Fleet) -> None:
    running(fleet, seconds=45.0)
    copy = copied(fleet)
    table = fleet.daemons["alpha"].table
    assert table is not None
    table.jobs = [1]
    with pytest.raises(SecondWorker):
        fleet.go(60)
    assert fleet.runs()[RUN].state is RunState.RUNNING, "what is a run of before a reboot here goes on there"
    assert table.jobs == [1], "the crontab is not touched"
    assert (copy.folders(), copy.starts) == ([RUN], [])
    fleet.stop("alpha")
    fleet.go(60)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.starts() == [RUN, "1.1.20260301T120200Z.1"]


def test_a_copy_that_takes_over_from_a_dead_original_starts_nothing_that_was_claimed_there(
    fleet: Fleet,
) -> None:
    """The folder was copied before the run was started there, and nothing in the copy says that it was."""
    fleet.machines["alpha"].run_seconds = 300.0
    fleet.submit(schedule=EACH_MINUTE, node="alpha")
    fleet.until(TICK + timedelta(seconds=1))
    marked = fleet.machines["alpha"].runs / RUN / "started"
    mark = marked.read_text()
    marked.unlink()
    fleet.stop("alpha")
    copy = copied(fleet)
    marked.write_text(mark)
    fleet.go(20)
    assert who(fleet) != "1"
    assert RUN not in copy.starts
    assert fleet.runs()[RUN].state is RunState.LOST
    assert fleet.starts().count(RUN) == 1


def test_of_two_in_one_session_the_one_that_finds_the_others_sign_ends_and_no_tick_starts_twice(
    fleet: Fleet,
) -> None:
    running(fleet, seconds=5.0)
    fleet.go(10)
    session = fleet.daemons["alpha"].tree.session()
    first = who(fleet)
    copied(fleet, (session.id, session.password))
    began = fleet.time.seconds
    with pytest.raises(SecondWorker, match="on host of alpha"):
        fleet.go(3 * RESYNC)
    assert fleet.time.seconds - began < RESYNC + 3
    assert who(fleet) != first
    fleet.loops = {name: loop for name, loop in fleet.loops.items() if ORIGINAL not in name}
    fleet.go(120)
    assert sorted(set(fleet.starts())) == fleet.starts()
    assert {run.state for run in fleet.runs().values()} <= {RunState.SUCCEEDED, RunState.RUNNING}


def test_a_sign_of_life_that_somebody_took_away_is_given_again(fleet: Fleet) -> None:
    tree = fleet.daemons["alpha"].tree
    fleet.server.expire(tree.session().id)
    fleet.go(2)
    assert fleet.desk.tree.get(paths.live("alpha")).owner == tree.session().id


def test_what_an_earlier_daemon_left_is_told_once_the_node_is_live(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("alpha")
    running(fleet, seconds=5.0)
    fleet.stop("alpha")
    fleet.go(20)
    fleet.work("alpha")
    daemon = fleet.daemons["alpha"]
    daemon.tree.disconnect()
    assert daemon.table is not None
    daemon.table.jobs = [7]
    fleet.go(5)
    assert fleet.runs()[RUN].state is RunState.RUNNING
    assert daemon.table.jobs == [7], "what is in the crontab stays until the claims are known"
    daemon.tree.reconnect()
    fleet.go(5)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert daemon.table.jobs == [1]
