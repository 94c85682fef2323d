"""What is kept of what a run wrote, and a run that writes without end."""

import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.samples import plan, spec

from cronkeeper.worker import outputs
from cronkeeper.worker.kept import NOTE_ROOM, TAIL, KeptFile, keep
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.trim import BLOCK, LOOK_EVERY, SLACK, Trim

MIB = 1024 * 1024


@given(st.integers(0, 2**62), st.integers(0, 2**30))
@example(2**61, 65)
def test_what_is_kept_fits_the_cap_and_is_shorter_than_what_was_written_where_any_is_left_out(
    size: int, cap: int
) -> None:
    kept = keep(size, cap)
    assert kept.size <= cap
    if size <= cap:
        assert (kept.head, kept.note, kept.tail) == (size, b"", 0)
    else:
        assert kept.size < size
        assert bool(kept.note) == (cap > NOTE_ROOM)


def test_of_a_cap_of_1_mib_the_last_16_kib_are_the_end() -> None:
    kept = keep(5 * MIB, MIB)
    assert (kept.head, kept.tail) == (MIB - TAIL - NOTE_ROOM, TAIL)
    assert kept.note == f"\n[cronkeeper: {4 * MIB + NOTE_ROOM} bytes left out here]\n".encode()


@pytest.mark.parametrize(
    ("size", "cap"), [(0, 10), (1000, 5000), (5000, 1000), (5000, 65), (5000, 64), (5, 0)]
)
def test_a_kept_file_reads_the_same_in_any_pieces_and_as_often_as_it_is_wanted(
    tmp_path: Path, size: int, cap: int
) -> None:
    content = bytes(n % 251 for n in range(size))
    (tmp_path / "file").write_bytes(content)
    kept = keep(size, cap)
    expected = content[: kept.head] + kept.note + (content[-kept.tail :] if kept.tail else b"")
    with KeptFile(tmp_path / "file", size, cap) as file:
        assert file.readall() == expected
        file.seek(0)
        assert b"".join(iter(lambda: file.read(7), b"")) == expected
        assert (file.seek(0, io.SEEK_END), file.tell(), file.size) == (len(expected),) * 3


def test_what_is_added_later_does_not_count_and_what_is_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100 + b"later")
    with KeptFile(path, 100, 1000) as file:
        assert file.readall() == b"x" * 100
    with KeptFile(path, 200, 1000) as file, pytest.raises(OSError, match="shorter"):
        file.readall()


class Writer:
    """A run in progress whose cap is 1 MiB, and a clock."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder.make(path, plan(spec=spec(max_output=MIB)))
        self.clock = 1000.0
        self.trim = Trim(lambda: self.clock)

    def write(self, content: bytes) -> None:
        with (self.folder.path / "stdout").open("ab") as file:
            file.write(content)

    def look(self) -> None:
        self.clock += LOOK_EVERY
        self.trim.look([self.folder])

    @property
    def on_disk(self) -> int:
        return (self.folder.path / "stdout").stat().st_blocks * BLOCK


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def test_a_run_that_writes_on_and_on_fills_no_disk_and_its_beginning_and_end_are_kept(writer: Writer) -> None:
    beginning, end = b"b" * MIB, b"e" * TAIL
    writer.write(beginning)
    for _ in range(5):
        writer.write(bytes([1]) * 8 * MIB)
        writer.look()
        assert writer.on_disk < MIB + SLACK + 4 * TAIL
    writer.write(end)
    path = writer.folder.path / "stdout"
    size = path.stat().st_size
    assert size == 41 * MIB + TAIL
    with KeptFile(path, size, MIB) as kept:
        content = kept.readall()
    note = keep(size, MIB).note
    assert content == beginning[: MIB - TAIL - NOTE_ROOM] + note + end
    assert outputs.read(writer.folder, "stdout").size == size


def test_what_a_run_may_write_is_left_alone(writer: Writer) -> None:
    writer.write(b"x" * (MIB + TAIL + SLACK // 2))
    writer.look()
    assert (writer.folder.path / "stdout").read_bytes() == b"x" * (MIB + TAIL + SLACK // 2)


def test_between_two_looks_nothing_is_looked_at(writer: Writer) -> None:
    writer.look()
    assert writer.trim.wait() == LOOK_EVERY
    writer.write(b"x" * 8 * MIB)
    writer.trim.look([writer.folder])
    assert writer.on_disk >= 8 * MIB
    writer.look()
    assert writer.on_disk < 3 * MIB


def test_where_the_filesystem_cannot_it_is_said_once_and_all_goes_on(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot(_path: str, _offset: int, _length: int) -> None:
        raise OSError(95, "Operation not supported")

    writer.trim = Trim(lambda: writer.clock, cannot)
    writer.write(b"x" * 8 * MIB)
    for _ in range(3):
        writer.look()
    assert len(caplog.records) == 1
    assert "stays on the disk" in caplog.text
    assert writer.trim.wait() == LOOK_EVERY
