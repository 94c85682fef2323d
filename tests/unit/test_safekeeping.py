"""Ends that the API does not take in: on the disk before anything relies on them, and never too much of it."""

import logging
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from support.samples import NOW, TICK, plan, spec

from cronkeeper.common.model import Outcome, RunState, tick_run_id
from cronkeeper.worker import outputs
from cronkeeper.worker.kept import IN_REPORT
from cronkeeper.worker.run_folder import RunFolder, load_all
from cronkeeper.worker.safekeeping import (
    LOOK_EVERY,
    OLD,
    PATIENCE,
    REST,
    Safekeeping,
    free_bytes,
    sync_filesystem,
)

MIB = 1024 * 1024
SUCCEEDED = Outcome(state=RunState.SUCCEEDED, exit_code=0, reason=None, started_at=NOW, ended_at=NOW)


@dataclass
class Disk:
    """The folder of all runs, with a clock; remembers what there was at each sync."""

    root: Path
    clock: float = 1000.0
    sync_takes: float = 0.0
    full: bool = False
    free: float = float("inf")
    synced: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keeping = Safekeeping(self.root, self.sync, lambda _: self.free, lambda: self.clock)

    def sync(self, folder: Path) -> None:
        assert folder == self.root
        if self.full:
            raise OSError("no room")
        self.clock += self.sync_takes
        self.synced.append(sorted(path.parent.name for path in folder.glob("*/outcome")))

    def end(self, number: int, size: int = 0, **policies: object) -> RunFolder:
        run_id = tick_run_id(1, 1, TICK + timedelta(minutes=number), 1)
        folder = RunFolder.make(self.root, plan(run_id, spec=spec(**policies)))
        (folder.path / "stdout").write_bytes(b"o" * size)
        ended = Outcome(
            state=RunState.FAILED,
            exit_code=number,
            reason=None,
            started_at=None,
            ended_at=NOW + timedelta(minutes=number),
        )
        self.keeping.add(folder, ended)
        return folder

    def look(self, later: float) -> None:
        self.clock += later
        self.keeping.look()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def dropped(*folders: RunFolder) -> list[bool]:
    return [outputs.is_dropped(folder, "stdout") for folder in folders]


def test_an_end_that_is_acknowledged_in_time_costs_no_sync(disk: Disk) -> None:
    folder = disk.end(1)
    disk.look(PATIENCE / 2)
    disk.keeping.drop(folder.plan.run_id)
    disk.look(PATIENCE)
    assert disk.synced == []
    assert folder.outcome is None


def test_an_end_that_waits_is_noted_and_then_brought_onto_the_disk_once(disk: Disk) -> None:
    folders = [disk.end(number) for number in (1, 2)]
    disk.look(PATIENCE)
    assert disk.synced == [[folder.plan.run_id for folder in folders]]
    assert [folder.outcome.exit_code for folder in folders if folder.outcome is not None] == [1, 2]
    disk.look(PATIENCE)
    assert len(disk.synced) == 1
    disk.end(3)
    disk.look(PATIENCE)
    assert len(disk.synced) == 2


def test_an_end_that_is_told_again_costs_nothing_more(disk: Disk) -> None:
    folder = disk.end(1)
    disk.look(PATIENCE)
    disk.keeping.add(folder, SUCCEEDED)
    disk.look(PATIENCE)
    assert len(disk.synced) == 1
    assert folder.outcome is not None
    assert folder.outcome.state is RunState.FAILED


def test_after_a_sync_that_took_long_the_disk_is_left_to_the_jobs(disk: Disk) -> None:
    disk.sync_takes = 5.0
    disk.end(1)
    disk.look(PATIENCE)
    disk.end(2)
    disk.look(REST * 5.0 - 1)
    assert len(disk.synced) == 1
    disk.look(1)
    assert len(disk.synced) == 2


def test_what_could_not_be_synced_is_synced_later_and_said_once(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.full = True
    disk.end(1)
    with caplog.at_level(logging.ERROR):
        disk.look(PATIENCE)
        disk.look(PATIENCE)
    assert caplog.text.count("no room") == 1
    disk.full = False
    disk.look(PATIENCE)
    assert len(disk.synced) == 1


def test_a_folder_that_goes_at_that_moment_is_in_nobodys_way(disk: Disk) -> None:
    gone, other = disk.end(1), disk.end(2)
    gone.remove()
    disk.look(PATIENCE)
    assert disk.synced == [[other.plan.run_id]]
    assert [folder.plan.run_id for folder in load_all(disk.root)] == [other.plan.run_id]


@pytest.mark.parametrize("torn", [b"", b"{", b"\0" * 100])
def test_a_note_that_was_torn_by_a_power_cut_is_none(disk: Disk, torn: bytes) -> None:
    folder = disk.end(1)
    (folder.path / "outcome").write_bytes(torn)
    assert folder.outcome is None


def test_a_folder_with_a_note_and_without_output_is_forgotten_whole(disk: Disk) -> None:
    folder = disk.end(1, MIB)
    disk.look(PATIENCE)
    outputs.drop(folder)
    folder.remove()
    assert list(disk.root.iterdir()) == []


def test_of_outputs_that_take_more_room_than_is_left_the_oldest_are_dropped(disk: Disk) -> None:
    """3 MiB wait and 1 MiB is free: 1 MiB has to go, so that half of what there is stays free."""
    disk.free = MIB
    second, first, third = disk.end(2, MIB), disk.end(1, MIB), disk.end(3, MIB)
    disk.look(PATIENCE)
    disk.look(OLD)
    assert dropped(first, second, third) == [True, False, False]
    disk.free = 2 * MIB
    disk.look(LOOK_EVERY)
    assert dropped(second, third) == [False, False]


def test_what_has_not_waited_long_is_not_dropped(disk: Disk) -> None:
    disk.free = 0
    folder = disk.end(1, MIB)
    disk.look(OLD / 2)
    disk.look(OLD / 2 - 1)
    assert dropped(folder) == [False]


def test_outputs_are_dropped_also_where_the_disk_is_so_full_that_nothing_can_be_synced(disk: Disk) -> None:
    disk.free = 0
    folder = disk.end(1, MIB)
    disk.look(PATIENCE)
    disk.full = True
    disk.end(2)
    disk.look(OLD)
    assert dropped(folder) == [True]


def test_of_a_dropped_output_the_size_and_the_reason_are_told_and_its_room_is_free(disk: Disk) -> None:
    folder = disk.end(1, MIB)
    (folder.path / "stderr").write_bytes(b"small")
    outputs.drop(folder)
    told = outputs.read(folder, "stdout")
    assert told.size == MIB
    assert told.data.startswith(b"[cronkeeper: all 1048576 bytes were dropped: ")
    assert outputs.read(folder, "stdout", MIB) == told
    assert outputs.read(folder, "stderr").data == b"small"
    assert outputs.weight(folder) == 0
    assert sum(path.stat().st_blocks for path in folder.path.glob("std*")) * 512 <= 2 * outputs.SMALL


@pytest.mark.parametrize("cap", [0, 10, IN_REPORT])
def test_of_a_dropped_output_no_more_is_told_than_the_job_wants_kept(disk: Disk, cap: int) -> None:
    folder = disk.end(1, MIB, max_output=cap)
    outputs.drop(folder)
    assert len(outputs.read(folder, "stdout").data) <= cap


def test_a_real_disk_can_be_synced_and_asked(tmp_path: Path) -> None:
    sync_filesystem(tmp_path)
    assert 0 < free_bytes(tmp_path) < os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    with pytest.raises(OSError, match="No such file"):
        sync_filesystem(tmp_path / "gone")
