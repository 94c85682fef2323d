"""Ends of runs that wrote much: told soon, stored whole in the end, whatever is away meanwhile."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from support.samples import NOW, plan, spec
from support.wait import wait_until

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.artifacts.store import OutputName
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Outcome, Output, Report, RunState
from cronkeeper.worker.kept import IN_REPORT, KeptFile
from cronkeeper.worker.outbox import PATIENCE, Outbox
from cronkeeper.worker.outputs import with_outputs
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.uploads import GIVE_UP, Done, Task, Uploads

MIB = 1024 * 1024
RUN = plan().run_id
END = Outcome(state=RunState.SUCCEEDED, exit_code=0, reason=None, started_at=NOW, ended_at=NOW)


class Shelf(DirectoryStore):
    """A store that may be away."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.there = True
        self.tries = 0

    def put_output(self, name: OutputName, content: BinaryIO, size: int) -> None:
        self.tries += 1
        if not self.there:
            raise Unavailable("S3 is away")
        super().put_output(name, content, size)


@dataclass
class Storing:
    """Stores when the test says so."""

    requested: list[str] = field(default_factory=list)
    ended: list[Done] = field(default_factory=list)

    def request(self, folder: RunFolder, sizes: dict[str, int]) -> None:
        self.requested.append(folder.plan.run_id)

    def done(self) -> list[Done]:
        ended, self.ended = self.ended, []
        return ended


@dataclass
class FakeApi:
    """A reporter that keeps what it is given; `acknowledge` is what the API does."""

    given: list[Report] = field(default_factory=list)
    _acknowledged: list[str] = field(default_factory=list)

    def submit(self, report: Report, folder: RunFolder | None = None) -> None:
        self.given.append(report if folder is None else with_outputs(report, folder))

    def acknowledge(self) -> None:
        self._acknowledged.append(self.given[-1].run_id)

    def acknowledged(self) -> list[str]:
        acknowledged, self._acknowledged = self._acknowledged, []
        return acknowledged

    def waiting(self) -> int:
        return 0


@dataclass
class Keeping:
    """Remembers which ends wait."""

    waiting: list[str] = field(default_factory=list)

    def add(self, folder: RunFolder, outcome: Outcome) -> None:
        self.waiting.append(folder.plan.run_id)

    def drop(self, run_id: str) -> None:
        self.waiting.remove(run_id)


@dataclass
class Desk:
    """An outbox with a clock, and a run of which 5 MiB lie in its folder."""

    path: Path
    clock: float = 1000.0

    def __post_init__(self) -> None:
        self.api, self.storing, self.keeping = FakeApi(), Storing(), Keeping()
        self.outbox = Outbox(self.api, self.storing, self.keeping, lambda: self.clock)  # type: ignore[arg-type]
        self.folder = folder_of(self.path)

    def end(self) -> None:
        self.outbox.submit_end(self.folder, END)

    def stored(self, **stored: int) -> None:
        self.storing.ended.append(Done(RUN, stored))


def folder_of(path: Path, size: int = 5 * MIB, **policies: object) -> RunFolder:
    folder = RunFolder.make(path, plan(spec=spec(**policies)))
    (folder.path / "stdout").write_bytes(b"o" * size)
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("options", [{"size": IN_REPORT}, {"max_output": IN_REPORT}, {"max_output": 0}])
def test_an_end_with_all_that_is_kept_goes_at_once(tmp_path: Path, options: dict[str, int]) -> None:
    (tmp_path / "of the desk").mkdir()
    desk = Desk(tmp_path / "of the desk")
    folder = folder_of(tmp_path, **options)
    desk.outbox.submit_end(folder, END)
    assert [each.run_id for each in desk.api.given] == [RUN]
    assert desk.storing.requested == []
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == [RUN]


def test_an_end_is_told_once_its_output_is_stored(desk: Desk) -> None:
    desk.end()
    assert desk.outbox.acknowledged() == []
    assert (desk.api.given, desk.storing.requested) == ([], [RUN])
    assert (desk.outbox.wait(), desk.outbox.waiting()) == (PATIENCE, 1)
    desk.stored(stdout=5 * MIB)
    assert desk.outbox.acknowledged() == []
    (told,) = desk.api.given
    assert told.stdout is not None
    assert (told.stdout.size, told.stdout.stored) == (5 * MIB, 5 * MIB)
    assert told.stderr == Output(size=0, data=b"")
    assert desk.outbox.wait() == float("inf")
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == [RUN]


def test_while_the_store_is_away_the_end_is_told_without_and_counts_as_told_when_all_of_it_is(
    desk: Desk,
) -> None:
    desk.end()
    desk.clock += PATIENCE
    desk.outbox.acknowledged()
    assert [each.stdout.stored for each in desk.api.given if each.stdout is not None] == [None]
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == []
    assert desk.outbox.wait() == float("inf")
    desk.stored(stdout=5 * MIB)
    desk.outbox.acknowledged()
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == [RUN]
    assert [each.stdout.stored for each in desk.api.given if each.stdout is not None] == [None, 5 * MIB]


def test_an_end_is_in_safe_keeping_until_all_of_it_is_acknowledged(desk: Desk) -> None:
    desk.end()
    desk.clock += PATIENCE
    desk.outbox.acknowledged()
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == []
    assert desk.keeping.waiting == [RUN]
    desk.stored(stdout=5 * MIB)
    desk.outbox.acknowledged()
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == [RUN]
    assert desk.keeping.waiting == []


def test_an_end_that_is_handed_in_again_is_stored_once(desk: Desk) -> None:
    desk.end()
    desk.end()
    assert desk.storing.requested == [RUN]


def test_an_end_whose_output_was_given_up_is_told_with_what_goes_along(desk: Desk) -> None:
    desk.end()
    desk.stored()
    desk.outbox.acknowledged()
    desk.api.acknowledge()
    assert desk.outbox.acknowledged() == [RUN]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "store")


def read(shelf: Shelf, stream: str = "stdout") -> bytes:
    opened = shelf.open_output(OutputName(RUN, stream))
    content = b"".join(opened)
    opened.close()
    return content


def test_what_is_asked_for_is_stored_as_it_is_up_to_the_cap(shelf: Shelf, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, max_output=MIB)
    (folder.path / "stderr").write_bytes(b"e" * 2 * IN_REPORT)
    rung: list[bool] = []
    uploads = Uploads(shelf, lambda: rung.append(True))
    uploads.request(folder, {"stdout": 5 * MIB, "stderr": 2 * IN_REPORT})
    (found,) = wait_until(uploads.done)
    assert rung
    assert read(shelf, "stderr") == b"e" * 2 * IN_REPORT
    with KeptFile(folder.path / "stdout", 5 * MIB, MIB) as kept:
        assert read(shelf) == kept.readall()
        assert found == Done(RUN, {"stdout": kept.size, "stderr": 2 * IN_REPORT})


def test_a_store_that_is_away_gets_it_once_it_is_back(shelf: Shelf, tmp_path: Path) -> None:
    shelf.there = False
    uploads = Uploads(shelf, lambda: None)
    uploads.request(folder_of(tmp_path), {"stdout": 5 * MIB})
    wait_until(lambda: shelf.tries > 1)
    assert uploads.done() == []
    shelf.there = True
    assert wait_until(uploads.done) == [Done(RUN, {"stdout": 5 * MIB})]
    assert read(shelf) == b"o" * 5 * MIB


def test_a_store_that_never_takes_anything_in_is_given_up_in_the_end(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.there = False
    times = iter([0.0, GIVE_UP])
    uploads = Uploads(shelf, lambda: None, lambda: next(times))
    with caplog.at_level(logging.ERROR):
        uploads.request(folder_of(tmp_path), {"stdout": 5 * MIB})
        assert wait_until(uploads.done) == [Done(RUN, {})]
    assert "only a part is kept: S3 is away" in caplog.text


def test_an_output_that_is_gone_holds_up_nothing(shelf: Shelf, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder.path / "stdout").unlink()
    uploads = Uploads(shelf, lambda: None)
    assert uploads.store(Task(folder, {"stdout": 5 * MIB}, 0.0)) == {}
