"""The embedded tree's file: what is kept, what is cut off, what is refused, and what it costs."""

import errno
import itertools
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.embedded_format import Damaged
from cronkeeper.common.coordination.embedded_log import COMPACT_MIN
from cronkeeper.common.coordination.tree import Create, Delete, Node, SetData, Tree
from cronkeeper.common.errors import Conflict, Unavailable

COMMITS = 20


@dataclass(frozen=True)
class Written:
    """A file, and where in it the snapshot ends and the last commit begins."""

    content: bytes
    snapshot: int
    last_commit: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tree.log"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A file with a snapshot and COMMITS commits after it, each of which adds a node."""
    path = tmp_path_factory.mktemp("written") / "tree.log"
    with opened(path) as tree:
        tree.commit([Create(f"/old-{i}", b"rec:" * 10) for i in range(100)])
    with opened(path) as tree:
        snapshot = path.stat().st_size
        for i in range(COMMITS):
            last_commit = path.stat().st_size
            tree.commit([Create(f"/new-{i:02}", b"rec:" * i)])
    return Written(path.read_bytes(), snapshot, last_commit)


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """A client of the tree in the file, which is closed afterwards without ceremony."""
    server = EmbeddedServer(path)
    try:
        yield server.connect()
    finally:
        server.close()


def test_nodes_and_their_versions_are_there_again_and_ephemerals_are_not(path: Path) -> None:
    with opened(path) as tree:
        tree.commit(
            [Create("/a", b"\x00\xff"), Create("/a/b"), Create("/e", ephemeral=True), Create("/gone")]
        )
        tree.commit([SetData("/a", b"", 0), SetData("/e", b"x", 0), Delete("/gone", 0)])
        tree.commit([Delete("/e", 1), Create("/e", b"persistent now")])
        tree.commit([Delete("/a/b", 0), Create("/a/b", ephemeral=True)])
    for _ in range(2):
        with opened(path) as tree:
            assert tree.get_many(["/a", "/a/b", "/e", "/gone"]) == [
                Node(b"", 1, 0),
                None,
                Node(b"persistent now", 0, 0),
                None,
            ]
            assert tree.children_many(["/", "/a"]) == [["a", "e"], []]


def test_the_file_is_readable_by_its_owner_only(path: Path) -> None:
    with opened(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_ephemeral_nodes_write_nothing(path: Path) -> None:
    with opened(path) as tree:
        size = path.stat().st_size
        tree.commit([Create("/e", ephemeral=True)])
        tree.commit([SetData("/e", b"x", 0)])
        tree.commit([Create("/p"), Delete("/p", 0)])
        tree.close()
        assert path.stat().st_size == size


def test_the_file_is_open_once(path: Path) -> None:
    with opened(path), pytest.raises(Conflict, match=r"tree\.log is in use"):
        EmbeddedServer(path)
    with opened(path):
        pass


def test_whatever_length_a_torn_write_left_the_commits_before_it_are_whole(
    path: Path, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    seen = set()
    for length in range(written.snapshot, len(written.content) + 1, 7):
        path.write_bytes(written.content[:length])
        with opened(path) as tree:
            seen.add(_new_commits(tree))
            tree.commit([Create("/afterwards")])
        with opened(path) as tree:
            assert "afterwards" in tree.children("/")
    assert seen >= set(range(COMMITS))
    assert "cut off" in caplog.text


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"rec:" * 500, b"rec:\xff\xff\xff\xff" + b"x" * 30])
def test_garbage_at_the_end_is_cut_off(path: Path, written: Written, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(written.content + garbage)
    with opened(path) as tree:
        assert _new_commits(tree) == COMMITS
    assert garbage not in path.read_bytes()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_taken_for_content(path: Path, written: Written, at: float, bit: int) -> None:
    content = bytearray(written.content)
    offset = int(at * len(content))
    content[offset] ^= 1 << bit
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    path.write_bytes(content)
    if offset < written.last_commit:
        with pytest.raises(Damaged, match="Put back a copy"):
            EmbeddedServer(path)
        assert path.read_bytes() == bytes(content), "what is damaged must stay as it is"
    else:  # that one can't be told from a torn one
        with opened(path) as tree:
            assert _new_commits(tree) == COMMITS - 1


def test_several_commits_that_nobody_was_promised_may_be_torn_in_any_order(path: Path) -> None:
    """The disk may have kept a later page and not an earlier one, of what was written since the last sync."""
    with opened(path) as tree:
        start = path.stat().st_size
        tree.commit([Create("/kept")])
        kept = path.stat().st_size
        tree.commit_many([[Create(f"/{i}", b"x" * 100)] for i in range(3)])
        content = bytearray(path.read_bytes())
    content[kept + 20 : kept + 60] = b"\0" * 40
    path.write_bytes(content)
    with opened(path) as tree:
        assert tree.children("/") == ["kept"]
    content[start + 20 : start + 30] = b"\0" * 10
    path.write_bytes(content)
    with pytest.raises(Damaged):
        EmbeddedServer(path)


@pytest.mark.parametrize("content", [b"", b"short", b"something else that is long enough"])
def test_a_file_that_is_something_else_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(Damaged, match="byte 0"):
            EmbeddedServer(path)
    assert path.read_bytes() == content


def test_a_half_written_snapshot_beside_the_file_is_ignored(path: Path, written: Written) -> None:
    path.parent.mkdir()
    path.write_bytes(written.content)
    path.with_name("tree.log.tmp").write_bytes(written.content[:100])
    with opened(path) as tree:
        assert _new_commits(tree) == COMMITS
    assert not path.with_name("tree.log.tmp").exists()


def test_the_file_is_rewritten_when_it_has_outgrown_its_snapshot(path: Path) -> None:
    data = b"x" * 100_000
    with opened(path) as tree:
        tree.commit([Create("/a", data)])
        sizes = []
        for version in range(100):
            tree.commit([SetData("/a", data, version)])
            sizes.append(path.stat().st_size)
    assert max(sizes) < COMPACT_MIN + 2 * len(data)
    assert sum(after < before for before, after in itertools.pairwise(sizes)) == 2
    with opened(path) as tree:
        assert tree.get("/a") == Node(data, 100, 0)


def test_many_batches_cost_one_sync(path: Path, syncs: Callable[[], int]) -> None:
    with opened(path) as tree:
        before = syncs()
        assert tree.commit_many([[Create(f"/{i}")] for i in range(1000)]) == [None] * 1000
        assert syncs() == before + 1
        tree.get("/1")
        tree.sync()
        assert syncs() == before + 1


def test_many_threads_share_a_sync(path: Path, syncs: Callable[[], int]) -> None:
    server = EmbeddedServer(path)

    def commit(thread: int) -> None:
        tree = server.connect()
        for i in range(50):
            tree.commit([Create(f"/{thread}-{i}")])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(commit, range(16)))
    server.close()
    assert syncs() < 800 / 2
    with opened(path) as tree:
        assert len(tree.children("/")) == 800


def test_a_full_disk_refuses_the_commit_whole_and_later_ones_are_taken(path: Path) -> None:
    with opened(path) as tree:
        tree.commit([Create("/a")])
        with _files_no_larger_than(path.stat().st_size + 100):
            with pytest.raises(Unavailable, match="can't be written"):
                tree.commit([Create("/b", b"x" * 1000), SetData("/a", b"1", 0)])
            assert tree.get("/a").version == 0
        tree.commit([SetData("/a", b"2", 0)])
    with opened(path) as tree:
        assert tree.children("/") == ["a"]
        assert tree.get("/a") == Node(b"2", 1, 0)


def test_after_a_sync_that_failed_nothing_is_acknowledged_until_a_new_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with opened(path) as tree:
        tree.commit([Create("/a")])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(Unavailable, match="Input/output error"):
                tree.commit([Create("/b")])
        for call in (tree.sync, lambda: tree.commit([Create("/c")])):
            with pytest.raises(Unavailable, match="start again"):
                call()
        (result,) = tree.commit_many([[Create("/d")]])
        assert isinstance(result, Unavailable)
    with opened(path) as tree:
        assert "a" in tree.children("/")
        tree.commit([Create("/c")])


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many fdatasyncs there were so far."""
    calls: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        calls.append(file)
        real(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return lambda: len(calls)


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _new_commits(tree: Tree) -> int:
    """How many of the fixture's commits are there: the first ones, without a gap."""
    names = tree.children("/")
    assert sum(name.startswith("old-") for name in names) == 100
    new = [name for name in names if name.startswith("new-")]
    assert new == [f"new-{i:02}" for i in range(len(new))]
    return len(new)
