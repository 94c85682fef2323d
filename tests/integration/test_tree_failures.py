"""The contract of the tree when links, sessions and servers fail, kept by both of its implementations."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from support.proxy import Proxy
from support.tree_installs import CALL_TIMEOUT, Cluster, Embedded, Install
from support.wait import wait_until
from testbed.services import ZooKeeper

from cronkeeper.common.coordination.tree import Check, Connection, Create, Delete, Node, SetData, Tree
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
from cronkeeper.common.errors import Unavailable

T = TypeVar("T")

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
    _eventually(tree.sync)
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
    _eventually(tree.sync)
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
    _eventually(tree.sync)
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
    _eventually(lambda: tree.commit([Create("/e", ephemeral=True)]))
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
    _eventually(lambda: tree.commit([Create("/e", ephemeral=True)]))
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
    assert _eventually(lambda: tree.get("/a")) == Node(b"1", 1, 0)
    assert tree.children("/") == ["a"]
    assert tree.get_many([f"/a/{i}" for i in range(500)]) == [Node(str(i).encode(), 0, 0) for i in range(500)]
    tree.commit([SetData("/a", b"2", 1)])


def test_a_client_outlives_a_restart_of_zookeeper_in_the_same_session(
    own_zookeeper: Callable[[], ZooKeeper],
) -> None:
    server = own_zookeeper()
    with _closing(ZooKeeperTree(server.hosts, session_timeout=20.0, call_timeout=CALL_TIMEOUT)) as tree:
        tree.commit([Create("/e", ephemeral=True)])
        session = tree.session()
        server.kill()
        with pytest.raises(Unavailable):
            tree.sync()
        server.start()
        _eventually(tree.sync)
        assert tree.get("/e").owner == session.id == tree.session().id


def test_a_client_can_be_made_before_zookeeper_is_there(own_zookeeper: Callable[[], ZooKeeper]) -> None:
    server = own_zookeeper()
    server.kill()
    began = time.monotonic()
    with _closing(ZooKeeperTree(server.hosts, root="/a/b", call_timeout=0.3)) as tree:
        for call in (tree.sync, tree.session, lambda: tree.get("/")):
            with pytest.raises(Unavailable):
                call()
        assert time.monotonic() - began < 2.0
        server.start()
        _eventually(tree.sync)
        assert tree.get("/") == Node(b"", 0, 0)


def test_a_dead_member_of_the_ensemble_does_not_cost_the_session(zookeeper: ZooKeeper) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, contextlib.ExitStack() as stack:
        # With a full backlog the kernel drops whatever else wants to connect, as if the host were off.
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{zookeeper.hosts}"
        for _ in range(4):  # the order of the hosts is random
            tree = stack.enter_context(_closing(ZooKeeperTree(hosts, "/dead-member", session_timeout=6.0)))
            began = time.monotonic()
            tree.sync()
            assert time.monotonic() - began < 3.0


def test_a_server_that_falls_silent_is_noticed(zookeeper: ZooKeeper) -> None:
    with contextlib.closing(Proxy(zookeeper.host, zookeeper.port)) as proxy:
        hosts = f"127.0.0.1:{proxy.port}"
        with _closing(ZooKeeperTree(hosts, "/silent", session_timeout=3.0, call_timeout=0.5)) as tree:
            heard: list[Connection] = []
            _eventually(tree.sync)
            tree.listen(heard.append)
            proxy.swallow_replies()
            asked = time.monotonic()
            with pytest.raises(Unavailable):
                tree.sync()
            assert time.monotonic() - asked < 1.0
            wait_until(lambda: heard == [Connection.SUSPENDED])
            proxy.cut()
            proxy.heal()
            _eventually(tree.sync)


def test_a_burst_into_a_link_that_has_just_failed_does_not_block(zookeeper: ZooKeeper) -> None:
    with contextlib.closing(Proxy(zookeeper.host, zookeeper.port)) as proxy:
        hosts = f"127.0.0.1:{proxy.port}"
        with _closing(ZooKeeperTree(hosts, "/burst", session_timeout=20.0, call_timeout=1.0)) as tree:
            _eventually(tree.sync)
            for _ in range(3):
                cutter = threading.Timer(0.02, proxy.cut)
                cutter.start()
                asked = time.monotonic()
                while not isinstance(tree.commit_many([[Check("/", 0)]] * 5000)[-1], Unavailable):
                    asked = time.monotonic()
                assert time.monotonic() - asked < 5.0
                cutter.join()
                proxy.heal()
                _eventually(tree.sync)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_answer_that_kills_kazoos_thread_is_survived(
    zookeeper: ZooKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    with _closing(ZooKeeperTree(zookeeper.hosts, "/garbage", call_timeout=2.0)) as tree:
        tree.sync()
        # As if the next answer were to another request.
        tree._client._pending.appendleft((None, tree._client.handler.async_result(), -99))
        with pytest.raises(Unavailable):
            tree.sync()
        _eventually(tree.sync)
        assert "started again" in caplog.text


@contextlib.contextmanager
def _closing(tree: ZooKeeperTree) -> Iterator[ZooKeeperTree]:
    yield tree
    tree.close()


def _eventually(call: Callable[[], T]) -> T:
    """What the call returns once it is answered, as a daemon that goes on asking would see it."""
    answers: list[T] = []

    def answered() -> bool:
        try:
            answers.append(call())
        except Unavailable:
            return False
        return True

    wait_until(answered, deadline=20.0)
    return answers[0]


def _raise_first(results: list[Exception | None]) -> None:
    if results[0] is not None:
        raise results[0]
