"""The journal on the disk: whole or not at all, and read the same after any crash."""

import resource
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import NOW, plan, spec

from cronkeeper.common.model import Output
from cronkeeper.worker import outputs
from cronkeeper.worker.kept import IN_REPORT, TAIL
from cronkeeper.worker.run_folder import (
    EXIT_BYTES,
    Exit,
    NoRoom,
    ProcessId,
    RunFolder,
    Started,
    at_uptime,
    load_all,
    parse_stat,
)

STAT = "4242 (sh) S 1 4242 4242 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 2654208 226"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.make(tmp_path, plan())


def test_a_new_folder_holds_its_plan_and_room_for_the_exit_code(folder: RunFolder, tmp_path: Path) -> None:
    assert folder.path == tmp_path / plan().run_id
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "exit").stat().st_size == EXIT_BYTES
    assert (folder.started, folder.exit, folder.given_up) == (None, None, False)
    assert list(load_all(tmp_path)) == [folder]


def test_a_folder_that_is_there_already_is_taken_as_it_is(folder: RunFolder, tmp_path: Path) -> None:
    (folder.path / "started").write_text(f"{STAT} 1.5\n")
    again = RunFolder.make(tmp_path, plan(token="1.1.9"))
    assert again == folder
    assert again.started is not None


def test_what_is_in_the_folders_way_is_said(tmp_path: Path) -> None:
    (tmp_path / plan().run_id).write_text("a file")
    with pytest.raises(NoRoom, match="in the way"):
        RunFolder.make(tmp_path, plan())


def test_a_plan_that_is_cut_short_by_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * EXIT_BYTES, hard))
    try:
        with pytest.raises(NoRoom, match="No space left on device"):
            RunFolder.make(tmp_path, plan())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_nothing_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="No such file or directory"):
        RunFolder.make(tmp_path / "gone", plan())


@pytest.mark.parametrize("torn", ["no plan", "half a plan", "no exit", "another name", "a file"])
def test_a_folder_that_was_not_made_or_removed_to_the_end_is_swept_away(
    folder: RunFolder, tmp_path: Path, torn: str
) -> None:
    if torn == "no plan":
        (folder.path / "plan").unlink()
    elif torn == "half a plan":
        (folder.path / "plan").write_bytes((folder.path / "plan").read_bytes()[:-20])
    elif torn == "no exit":
        (folder.path / "exit").unlink()
    elif torn == "another name":
        folder.path.rename(tmp_path / f".{folder.path.name}")
    else:
        shutil.rmtree(folder.path)
        folder.path.write_text("not a folder")
    assert list(load_all(tmp_path)) == []
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_the_mark_of_the_wrapper_that_won_names_its_process(folder: RunFolder) -> None:
    (folder.path / "started").write_text(f"{STAT} 12345.67\n")
    assert folder.started == Started(ProcessId(4242, 987654), 12345.67)


@pytest.mark.parametrize("text", ["", STAT, f"{STAT} 123"])
def test_a_mark_that_is_not_written_to_its_end_is_none_yet(folder: RunFolder, text: str) -> None:
    (folder.path / "started").write_text(text)
    assert folder.started is None
    assert not folder.given_up


def test_a_run_that_was_given_up_has_a_mark_that_no_process_made(folder: RunFolder) -> None:
    assert folder.give_up()
    assert folder.given_up
    assert folder.started is None
    assert not folder.give_up()


def test_a_run_that_has_begun_is_not_given_up(folder: RunFolder) -> None:
    (folder.path / "started").write_text(f"{STAT} 1.5\n")
    assert not folder.give_up()
    assert folder.started is not None
    assert not folder.given_up


def test_a_folder_that_somebody_removed_says_nothing_and_can_be_forgotten(folder: RunFolder) -> None:
    shutil.rmtree(folder.path)
    assert (folder.exit, folder.started, folder.given_up) == (None, None, False)
    assert outputs.read(folder, "stdout").size == 0
    assert folder.give_up()
    folder.remove()


@given(st.integers(0, 255), st.floats(0, 1e8).map(lambda value: round(value, 2)))
def test_the_exit_code_is_written_over_the_room_that_was_kept_for_it(code: int, uptime: float) -> None:
    text = f"{code} {uptime:.2f}\n".encode()
    assert len(text) <= EXIT_BYTES
    blank = b" " * (EXIT_BYTES - 1) + b"\n"
    assert (text + blank[len(text) :]).split() == text.split()


def test_the_exit_code_is_read(folder: RunFolder) -> None:
    with (folder.path / "exit").open("r+") as file:
        file.write("137 99.5\n")
    assert folder.exit == Exit(137, 99.5)


@pytest.mark.parametrize("size", [0, 1, IN_REPORT])
def test_output_of_moderate_size_is_whole(folder: RunFolder, size: int) -> None:
    content = bytes(n % 251 for n in range(size))
    (folder.path / "stdout").write_bytes(content)
    output = outputs.read(folder, "stdout")
    assert (output.size, output.data) == (size, content)
    assert outputs.read(folder, "stderr").size == 0


def test_of_large_output_head_and_tail_go_along_and_the_gap_is_told(folder: RunFolder) -> None:
    content = bytes(n % 251 for n in range(IN_REPORT + 1))
    (folder.path / "stderr").write_bytes(content)
    output = outputs.read(folder, "stderr")
    head, _, rest = output.data.partition(b"\n[cronkeeper: ")
    left_out, _, tail = rest.partition(b" bytes left out here]\n")
    assert output.size == len(content) > len(output.data)
    assert content.startswith(head)
    assert content.endswith(tail)
    assert (int(left_out), len(tail)) == (len(content) - len(head) - len(tail), TAIL)


@pytest.mark.parametrize(("max_output", "kept"), [(0, b""), (60, b"x" * 60)])
def test_no_more_goes_along_than_the_job_wants_kept(tmp_path: Path, max_output: int, kept: bytes) -> None:
    folder = RunFolder.make(tmp_path, plan(spec=spec(max_output=max_output)))
    (folder.path / "stdout").write_bytes(b"x" * 1000)
    assert outputs.read(folder, "stdout") == Output(size=1000, data=kept)


def test_a_folder_is_forgotten_whole(folder: RunFolder, tmp_path: Path) -> None:
    (folder.path / "stdout").write_text("x")
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_told_by_its_number_and_start_whatever_its_name() -> None:
    assert parse_stat(STAT) == ProcessId(4242, 987654)
    assert parse_stat(STAT.replace("(sh)", "(a ) b (c)")) == ProcessId(4242, 987654)


def test_an_uptime_becomes_an_instant_of_this_boot() -> None:
    assert (NOW - at_uptime(90.0, NOW, 100.0)).total_seconds() == 10
