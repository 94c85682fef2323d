"""A node is cut off, its jobs go on there, and every call may fail, and the daemon die at it."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.fakes import Trouble, crash_after, crash_before, lose_call, lose_reply
from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, ran, states
from support.labelled import TICK
from support.promise import blank, complaints

from cronkeeper.common.model import (
    CatchUp,
    RunState,
)
from cronkeeper.common.store.store import Store


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
