"""The contract of the tree when links, sessions and servers fail, kept by both of its implementations."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.tree_installs import CALL_TIMEOUT, Cluster, Embedded, Install, eventually
from support.wait import wait_until

from cronkeeper.common.coordination.tree import Connection, Create, Delete, Node, SetData, Tree
from cronkeeper.common.errors import Unavailable

ANSWERED_WITHIN = CALL_TIMEOUT + 1.0


@pytest.fixture(params=["embedded", "zookeeper"])
def install(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Install]:
    install: Install
    if request.param == "embedded":
        install = Embedded(tmp_path / "tree.log")
    else:
        install = Cluster(request.getfixturevalue("zookeeper"))
    yield install
    install.close()


@pytest.fixture(params=["embedded", "zookeeper"])
def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Install]:
    """An install whose server is no other test's."""
    install: Install
    if request.param == "embedded":
        install = Embedded(tmp_path / "tree.log")
    else:
        install = Cluster(request.getfixturevalue("own_zookeeper")())
    yield install
    install.close()


@pytest.fixture
def tree(install: Install) -> Tree:
    return install.connect()


def test_a_write_whose_answer_is_lost_is_unavailable_and_is_found_after_a_sync(
    install: Install, tree: Tree
) -> None:
    witness = install.connect()
    tree.commit([Create("/a")])
    with install.losing_replies(tree, lambda: witness.get("/a").version == 1), pytest.raises(Unavailable):
        tree.commit([SetData("/a", b"landed", 0)])
    eventually(tree.sync)
    assert tree.get("/a") == Node(b"landed", 1, 0)


def test_of_many_writes_whose_answers_are_lost_each_is_found_or_can_be_repeated(
    install: Install, tree: Tree
) -> None:
    witness = install.connect()
    tree.commit([Create("/a")])
    batches = [[Create(f"/a/{i}")] for i in range(300)]
    with install.losing_replies(tree, lambda: len(witness.children("/a")) > 100):
        results = tree.commit_many(batches)
    assert all(isinstance(result, Unavailable) for result in results)
    eventually(tree.sync)
    found = tree.get_many([f"/a/{i}" for i in range(300)])
    missing = [batch for batch, node in zip(batches, found, strict=True) if node is None]
    assert len(missing) < 200
    assert tree.commit_many(missing) == [None] * len(missing)
    assert len(tree.children("/a")) == 300


@pytest.mark.parametrize(
    "call",
    [
        lambda tree: tree.get_many(["/", "/e"] * 1000),
        lambda tree: tree.commit([Create("/a")]),
        lambda tree: _raise_first(tree.commit_many([[Create(f"/{i}")] for i in range(3000)])),
    ],
    ids=["get_many", "commit", "commit_many"],
)
def test_while_the_link_is_cut_calls_are_unavailable_in_time_and_afterwards_all_is_as_before(
    install: Install, call: Callable[[Tree], object]
) -> None:
    tree = install.connect(session_timeout=20.0)
    heard: list[Connection] = []
    tree.commit([Create("/e", ephemeral=True)])
    session = tree.session()
    tree.listen(heard.append)
    install.cut(tree)
    wait_until(lambda: heard[-1:] == [Connection.SUSPENDED])
    asked = time.monotonic()
    with pytest.raises(Unavailable):
        call(tree)
    assert time.monotonic() - asked < ANSWERED_WITHIN
    install.heal(tree)
    eventually(tree.sync)
    assert Connection.LOST not in heard
    assert tree.session() == session
    assert tree.children("/") == ["e"]


def test_a_client_whose_session_expired_hears_of_it_and_goes_on_in_a_new_one(
    install: Install, tree: Tree
) -> None:
    other = install.connect()
    heard: list[Connection] = []
    fired = threading.Event()
    tree.commit([Create("/e", ephemeral=True), Create("/p")])
    other.sync()
    old = tree.session()
    tree.listen(heard.append)
    tree.watch_children("/p", fired.set)
    install.expire(tree)
    wait_until(lambda: heard[-2:] == [Connection.LOST, Connection.CONNECTED])
    wait_until(fired.is_set)
    other.sync()
    assert other.children("/") == ["p"]
    eventually(lambda: tree.commit([Create("/e", ephemeral=True)]))
    assert tree.session().id != old.id
    assert other.get("/e").owner == tree.session().id


def test_a_session_expires_while_its_client_is_cut_off_and_the_client_learns_it_at_the_heal(
    install: Install,
) -> None:
    tree, other = install.connect(session_timeout=1.0), install.connect()
    heard: list[Connection] = []
    tree.commit([Create("/e", ephemeral=True)])
    old = tree.session()
    other.sync()
    tree.listen(heard.append)
    gone = threading.Event()
    other.watch_children("/", gone.set)
    install.cut(tree)
    wait_until(lambda: other.children("/") == [])
    wait_until(gone.is_set)
    assert Connection.LOST not in heard
    install.heal(tree)
    wait_until(lambda: heard[-2:] == [Connection.LOST, Connection.CONNECTED])
    eventually(lambda: tree.commit([Create("/e", ephemeral=True)]))
    assert other.get("/e").owner == tree.session().id != old.id


def test_a_watch_fires_when_the_link_is_lost(install: Install, tree: Tree) -> None:
    fired = threading.Event()
    tree.watch_children("/", fired.set)
    install.cut(tree)
    wait_until(fired.is_set)


def test_a_session_that_was_left_ends_after_its_timeout(install: Install, tree: Tree) -> None:
    left = install.connect(session_timeout=1.0)
    left.commit([Create("/e", ephemeral=True)])
    session = left.session()
    assert session.timeout == 1.0
    left.close(keep_session=True)
    assert tree.children("/") == ["e"]
    wait_until(lambda: tree.children("/") == [])
    assert install.connect(session).session().id != session.id


def test_a_client_that_was_closed_is_unavailable_at_once_and_may_be_closed_again(tree: Tree) -> None:
    tree.sync()
    tree.close()
    tree.close(keep_session=True)
    asked = time.monotonic()
    for call in (tree.sync, lambda: tree.get("/"), lambda: tree.commit([Create("/a")])):
        with pytest.raises(Unavailable):
            call()
    assert time.monotonic() - asked < 1.0


def test_a_client_that_is_cut_off_can_be_closed(install: Install, tree: Tree) -> None:
    tree.sync()
    install.cut(tree)
    tree.close()


def test_what_was_acknowledged_survives_a_kill_of_the_server(restartable: Install) -> None:
    tree = restartable.connect()
    tree.commit([Create("/a"), Create("/gone")])
    tree.commit([SetData("/a", b"1", 0), Delete("/gone", 0)])
    assert tree.commit_many([[Create(f"/a/{i}", str(i).encode())] for i in range(500)]) == [None] * 500
    restartable.restart()
    tree = restartable.connect()
    assert eventually(lambda: tree.get("/a")) == Node(b"1", 1, 0)
    assert tree.children("/") == ["a"]
    assert tree.get_many([f"/a/{i}" for i in range(500)]) == [Node(str(i).encode(), 0, 0) for i in range(500)]
    tree.commit([SetData("/a", b"2", 1)])


def _raise_first(results: list[Exception | None]) -> None:
    if results[0] is not None:
        raise results[0]
