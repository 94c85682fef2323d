"""A node is cut off, its jobs go on there, and every call may fail, and the daemon die at it."""

import errno
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.fakes import Trouble, crash_after, crash_before, lose_call, lose_reply
from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, minute, ran, states
from support.labelled import TICK
from support.promise import blank, complaints

from cronkeeper.common.model import CatchUp, RunState, WhenIsolated
from cronkeeper.common.store.store import Store
from cronkeeper.worker.assignment import JobKey


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
    assert calls >= 5


def stuck(fleet: Fleet, what: str, job: int) -> list[JobKey]:
    """What the disk of the node refuses of that job's file, until the returned list is emptied."""
    alone = fleet.daemons["alpha"].worker._parts.alone  # type: ignore[union-attr]
    act, refused = getattr(alone, what), [(job, 1)]

    def refuse(key: JobKey) -> None:
        if key in refused:
            raise OSError(errno.EIO, "Input/output error")
        act(key)

    setattr(alone, what, refuse)
    return refused


@pytest.mark.parametrize("minutes", [2, 4])
def test_where_one_file_cannot_be_deleted_that_job_alone_waits(fleet: Fleet, minutes: int) -> None:
    """After two minutes nothing was claimed by it."""
    schedule = "*/4 * * * *"
    for _ in range(2):
        fleet.submit(**ALONE | {"schedule": schedule})
    minute(fleet, 1)
    cut(fleet)
    minute(fleet, minutes)
    refused = stuck(fleet, "_unlink", 1)
    heal(fleet)
    fleet.go(10)
    if minutes == 2:
        minute(fleet, 5)
        assert fleet.starts() == ran(4, job=2)
        refused.clear()
        fleet.go(45)
        assert fleet.starts() == ran(4) + ran(4, job=2)
    else:
        minute(fleet, 9)
        assert fleet.starts() == ran(4) + ran(4, 8, job=2)
        refused.clear()
        fleet.go(45)
        assert fleet.starts() == ran(4, 8) + ran(4, 8, job=2)
    assert set(states(fleet).values()) == {RunState.SUCCEEDED}
    assert list((fleet.machines["alpha"].home / "alone").glob("*")) == []


def test_where_the_right_of_one_job_cannot_be_given_back_that_job_alone_waits(fleet: Fleet) -> None:
    job, other = fleet.submit(**ALONE), fleet.submit(**ALONE)
    fleet.until(TICK + timedelta(seconds=59))
    cut(fleet)
    fleet.change(job, when_isolated=WhenIsolated.FINISH)  # it is published while the session lives
    fleet.change(other, name="another")
    fleet.until(TICK + timedelta(seconds=70))
    assert fleet.starts() == ran(1, 2) + ran(1, 2, job=2)
    refused = stuck(fleet, "retire", 1)
    heal(fleet)
    minute(fleet, 4)
    assert fleet.starts() == ran(1, 2) + ran(1, 2, 3, 4, job=2)
    refused.clear()
    fleet.go(45)
    assert set(fleet.starts()) >= {*ran(4), *ran(5, job=2)}
    assert set(states(fleet).values()) <= {RunState.SUCCEEDED, RunState.RUNNING, RunState.SKIPPED}
