"""The contract of the tree while all goes well, kept by both of its implementations."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tree_installs import Cluster, Embedded, Install
from support.wait import wait_until

from cronkeeper.common.coordination.tree import (
    MAX_BATCH_BYTES,
    BadVersion,
    Batch,
    Check,
    Connection,
    Create,
    Delete,
    Node,
    NodeExists,
    NoNode,
    NotEmpty,
    Op,
    SetData,
    Tree,
)
from cronkeeper.common.errors import Invalid

MILLISECOND = 0.001
"""What ZooKeeper counts in."""


@pytest.fixture(params=["embedded", "zookeeper"])
def install(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Install]:
    install: Install
    if request.param == "embedded":
        install = Embedded(tmp_path / "tree.log")
    else:
        install = Cluster(request.getfixturevalue("zookeeper"))
    yield install
    install.close()


@pytest.fixture
def tree(install: Install) -> Tree:
    return install.connect()


def test_the_root_exists_and_is_empty(tree: Tree) -> None:
    assert tree.get("/") == Node(b"", 0, 0)
    assert tree.children("/") == []


def test_a_node_starts_at_version_0_and_every_set_adds_1(tree: Tree) -> None:
    tree.commit([Create("/a", b"\x00\xff")])
    assert tree.get("/a") == Node(b"\x00\xff", 0, 0)
    tree.commit([SetData("/a", b"", 0)])
    assert tree.get("/a") == Node(b"", 1, 0)
    tree.commit([SetData("/a", b"same", 1), SetData("/a", b"same", 2)])
    assert tree.get("/a") == Node(b"same", 3, 0)


def test_a_node_tells_when_its_data_was_last_written_by_the_wall_clock(tree: Tree) -> None:
    def written(*ops: Op) -> None:
        before = time.time()
        tree.commit(ops)
        after = time.time()
        assert before - MILLISECOND <= tree.get("/a").modified <= after + MILLISECOND

    written(Create("/a"))
    made = tree.get("/a").modified
    wait_until(lambda: time.time() > made + 2 * MILLISECOND)
    tree.commit([Create("/a/b"), Check("/a", 0)])
    assert tree.get("/a").modified == made, "a child is no data"
    written(SetData("/a", b"", 0))
    assert tree.get("/a").modified > made
    (many,) = tree.get_many(["/a"])
    assert many is not None
    assert many.modified == tree.get("/a").modified


def test_a_node_that_is_made_again_starts_at_version_0(tree: Tree) -> None:
    tree.commit([Create("/a")])
    tree.commit([SetData("/a", b"1", 0)])
    tree.commit([Delete("/a", 1), Create("/a", b"new")])
    assert tree.get("/a") == Node(b"new", 0, 0)


@pytest.mark.parametrize(
    ("ops", "error"),
    [
        ([SetData("/a", b"x", 0)], BadVersion),
        ([SetData("/a", b"x", 2)], BadVersion),
        ([Delete("/a", 0)], BadVersion),
        ([Check("/a", 0)], BadVersion),
        ([SetData("/none", b"x", 0)], NoNode),
        ([Delete("/none", 0)], NoNode),
        ([Check("/none", 0)], NoNode),
        ([Create("/none/b")], NoNode),
        ([Create("/a")], NodeExists),
        ([Create("/")], NodeExists),
        ([Delete("/a", 1)], NotEmpty),
        ([Create("/new"), Delete("/a", 0), Create("/a")], BadVersion),
        ([Create("/new"), Create("/new"), Delete("/none", 0)], NodeExists),
        ([Create("/new", ephemeral=True), Create("/new/b")], Invalid),
        ([Delete("/a/b", 0), Delete("/a", 1), Create("/a/b")], NoNode),
        ([SetData("/a", b"x", 1), Check("/a", 1)], BadVersion),
    ],
)
def test_a_batch_with_a_wrong_operation_changes_nothing_and_says_which_error_came_first(
    tree: Tree, ops: Batch, error: type[Exception]
) -> None:
    tree.commit([Create("/a"), Create("/a/b")])
    tree.commit([SetData("/a", b"1", 0)])
    with pytest.raises(error) as raised:
        tree.commit(ops)
    assert type(raised.value) is error
    assert tree.get_many(["/a", "/a/b", "/new"]) == [Node(b"1", 1, 0), Node(b"", 0, 0), None]
    assert tree.children("/") == ["a"]


def test_operations_see_what_those_before_them_in_the_batch_did(tree: Tree) -> None:
    tree.commit([Create("/a"), Create("/a/b"), SetData("/a/b", b"1", 0), Check("/a/b", 1)])
    tree.commit([Delete("/a/b", 1), Delete("/a", 0), Create("/a", b"2")])
    assert tree.get("/a") == Node(b"2", 0, 0)


def test_an_empty_batch_changes_nothing(tree: Tree) -> None:
    tree.commit([])
    assert tree.commit_many([[], []]) == [None, None]
    assert tree.commit_many([]) == []


def test_create_and_delete_in_one_batch_assert_that_there_is_no_such_node(tree: Tree) -> None:
    absent: list[Op] = [Create("/live"), Delete("/live", 0)]
    tree.commit([*absent, Create("/first")])
    tree.commit([Create("/live", ephemeral=True)])
    with pytest.raises(NodeExists):
        tree.commit([*absent, Create("/second")])
    assert tree.children("/") == ["first", "live"]


def test_children_are_names_in_order(tree: Tree) -> None:
    tree.commit([Create("/a"), *(Create(f"/a/{name}") for name in ("b", "ä", "a", "10", "9"))])
    tree.commit([Create("/a/b/c"), Create("/ab")])
    assert tree.children("/a") == ["10", "9", "a", "b", "ä"]
    assert tree.children("/a/b/c") == []


def test_reading_what_is_not_there_says_so(tree: Tree) -> None:
    for read in (tree.get, tree.children, lambda path: tree.watch_children(path, lambda: None)):
        with pytest.raises(NoNode):
            read("/none")


def test_many_are_read_in_order_with_none_for_what_is_missing(tree: Tree) -> None:
    tree.commit([Create("/a", b"1"), Create("/a/b", b"2"), Create("/a/c")])
    assert tree.get_many(["/a/b", "/x", "/a", "/a/b"]) == [
        Node(b"2", 0, 0),
        None,
        Node(b"1", 0, 0),
        Node(b"2", 0, 0),
    ]
    assert tree.children_many(["/a", "/x", "/a/b", "/"]) == [["b", "c"], None, [], ["a"]]
    assert tree.get_many([]) == []
    assert tree.children_many([]) == []


def test_ensure_makes_what_is_missing_and_leaves_the_rest(tree: Tree) -> None:
    tree.commit([Create("/a", b"mine")])
    tree.ensure("/a/b/c")
    tree.ensure("/a/b/c")
    tree.ensure("/")
    assert tree.get_many(["/a", "/a/b/c"]) == [Node(b"mine", 0, 0), Node(b"", 0, 0)]


def test_of_a_thousand_batches_each_stands_for_itself(tree: Tree) -> None:
    tree.commit([Create("/a"), Create("/a/taken")])
    batches: list[Batch] = [[Create(f"/a/{i}", b"x"), Check("/a", 0)] for i in range(1000)]
    batches[3] = [Create("/a/3"), Check("/a", 7)]
    batches[500] = [Create("/a/taken")]
    batches[999] = [Create("/none/b")]
    batches[700] = [Create("/a//700")]
    wrong = {3: BadVersion, 500: NodeExists, 700: Invalid, 999: NoNode}
    results = tree.commit_many(batches)
    assert {i: type(error) for i, error in enumerate(results) if error is not None} == wrong
    made = {str(i) for i in range(1000) if i not in wrong}
    assert set(tree.children("/a")) == made | {"taken"}


def test_more_batches_than_may_be_on_their_way_at_once_are_carried_out(tree: Tree) -> None:
    assert tree.commit_many([[Create(f"/{i}")] for i in range(2500)]) == [None] * 2500
    assert tree.commit_many([[SetData(f"/{i}", b"x" * 400_000, 0)] for i in range(40)]) == [None] * 40
    nodes = tree.get_many([f"/{i}" for i in range(2501)])
    assert [node is None for node in nodes] == [False] * 2500 + [True]
    assert [node.version for node in nodes[:41] if node] == [1] * 40 + [0]


def test_what_is_too_large_is_refused_and_costs_no_connection(tree: Tree) -> None:
    heard: list[Connection] = []
    tree.listen(heard.append)
    session = tree.session()
    tree.commit([Create("/a")])
    with pytest.raises(Invalid):
        tree.commit([SetData("/a", b"x" * MAX_BATCH_BYTES, 0)])
    half = b"x" * (MAX_BATCH_BYTES // 2)
    with pytest.raises(Invalid):
        tree.commit([SetData("/a", half, 0), SetData("/a", half, 1)])
    tree.commit([SetData("/a", half, 0)])
    assert tree.get("/a").data == half
    assert tree.session() == session
    assert set(heard) <= {Connection.CONNECTED}


@pytest.mark.parametrize(
    "path", ["", "a", "/a/", "//", "/a//b", "/a/../b", "/.", "/a\n", "/\N{GRINNING FACE}"]
)
def test_a_malformed_path_is_refused(tree: Tree, path: str) -> None:
    for ask in (tree.get, tree.children, lambda path: tree.commit([Create(path)])):
        with pytest.raises(Invalid):
            ask(path)


def test_a_write_that_names_no_real_version_is_refused(tree: Tree) -> None:
    tree.commit([Create("/a")])
    for op in (SetData("/a", b"", -1), Delete("/a", -1), Check("/a", -1), Delete("/", 0)):
        with pytest.raises(Invalid):
            tree.commit([op])
    assert tree.get("/a").version == 0


def test_an_ephemeral_node_is_its_sessions_and_vanishes_when_that_is_closed(
    install: Install, tree: Tree
) -> None:
    other = install.connect()
    other.commit([Create("/e", b"x", ephemeral=True), Create("/p")])
    assert tree.get("/e") == Node(b"x", 0, other.session().id)
    assert tree.get("/p").owner == 0
    assert tree.session().id != other.session().id
    tree.commit([SetData("/e", b"y", 0)])
    other.close()
    tree.sync()
    assert tree.get_many(["/e", "/p"]) == [None, Node(b"", 0, 0)]


def test_a_session_that_was_left_is_found_again_with_its_nodes(install: Install, tree: Tree) -> None:
    first = install.connect()
    first.commit([Create("/e", ephemeral=True)])
    session = first.session()
    first.close(keep_session=True)
    assert tree.get("/e").owner == session.id
    second = install.connect(session)
    second.commit([Create("/f", ephemeral=True)])
    assert second.session() == session
    assert [node and node.owner for node in tree.get_many(["/e", "/f"])] == [session.id] * 2
    second.close()
    tree.sync()
    assert tree.children("/") == []


def test_a_session_that_has_ended_is_replaced_by_a_new_one(install: Install) -> None:
    first = install.connect()
    session = first.session()
    first.close()
    second = install.connect(session)
    second.commit([Create("/e", ephemeral=True)])
    assert second.session().id != session.id
    assert second.get("/e").owner == second.session().id


def test_every_client_hears_once_that_the_children_changed(install: Install, tree: Tree) -> None:
    other = install.connect()
    tree.commit([Create("/a")])
    other.sync()
    mine, theirs = threading.Semaphore(0), threading.Semaphore(0)
    tree.watch_children("/a", mine.release)
    tree.watch_children("/a", mine.release)
    other.watch_children("/a", theirs.release)
    tree.commit([SetData("/a", b"data is no child", 0)])
    tree.commit([Create("/a/b")])
    assert mine.acquire(timeout=5)
    assert theirs.acquire(timeout=5)
    other.commit([Create("/a/c"), Delete("/a/b", 0)])
    tree.sync()
    assert not mine.acquire(blocking=False)
    assert not theirs.acquire(blocking=False)


def test_a_watch_fires_for_a_deleted_child_and_for_its_own_node_and_not_for_grandchildren(
    install: Install, tree: Tree
) -> None:
    other = install.connect()
    tree.commit([Create("/a"), Create("/a/b")])
    top, inner = threading.Event(), threading.Event()
    tree.watch_children("/a", top.set)
    tree.watch_children("/a/b", inner.set)
    other.commit([Create("/a/b/c")])
    wait_until(inner.is_set)
    assert not top.is_set()
    inner.clear()
    tree.watch_children("/a/b", inner.set)
    other.commit([Delete("/a/b/c", 0)])
    wait_until(inner.is_set)
    inner.clear()
    tree.watch_children("/a/b", inner.set)
    other.commit([Delete("/a/b", 0)])
    wait_until(lambda: inner.is_set() and top.is_set())


def test_a_watch_fires_when_an_ephemeral_child_goes_with_its_session(install: Install, tree: Tree) -> None:
    other = install.connect()
    other.commit([Create("/e", ephemeral=True)])
    tree.sync()
    gone = threading.Event()
    tree.watch_children("/", gone.set)
    other.close()
    wait_until(gone.is_set)
    assert tree.children("/") == []
