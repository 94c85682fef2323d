"""What only the client of ZooKeeper has to cope with: kazoo, a network, and an ensemble."""

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from support.proxy import Proxy
from support.tree_installs import CALL_TIMEOUT, eventually
from support.wait import wait_until
from testbed.services import ZooKeeper

from cronkeeper.common.coordination.tree import Check, Connection, Create, Node
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
from cronkeeper.common.errors import Unavailable


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
        eventually(tree.sync)
        assert tree.get("/e").owner == session.id == tree.session().id


def test_a_client_finds_its_way_into_a_zookeeper_that_has_forgotten_all(
    own_zookeeper: Callable[[], ZooKeeper],
) -> None:
    server = own_zookeeper()
    with _closing(ZooKeeperTree(server.hosts, session_timeout=2.0, call_timeout=CALL_TIMEOUT)) as tree:
        for number in range(20):
            tree.ensure(f"/n{number}")
        before = tree.session().id
        server.kill()
        shutil.rmtree(server.home / "data")
        server.start()
        wait_until(lambda: _answers(tree), 30)
        assert tree.session().id != before
        assert tree.children("/") == []


def _answers(tree: ZooKeeperTree) -> bool:
    try:
        tree.sync()
    except Unavailable:
        return False
    return True


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
        eventually(tree.sync)
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
            eventually(tree.sync)
            tree.listen(heard.append)
            proxy.swallow_replies()
            asked = time.monotonic()
            with pytest.raises(Unavailable):
                tree.sync()
            assert time.monotonic() - asked < 1.0
            wait_until(lambda: heard == [Connection.SUSPENDED])
            proxy.cut()
            proxy.heal()
            eventually(tree.sync)


def test_a_burst_into_a_link_that_has_just_failed_does_not_block(zookeeper: ZooKeeper) -> None:
    with contextlib.closing(Proxy(zookeeper.host, zookeeper.port)) as proxy:
        hosts = f"127.0.0.1:{proxy.port}"
        with _closing(ZooKeeperTree(hosts, "/burst", session_timeout=20.0, call_timeout=1.0)) as tree:
            heard: list[Connection] = []
            eventually(tree.sync)
            tree.listen(heard.append)
            proxy.cut()
            wait_until(lambda: heard == [Connection.SUSPENDED])
            # As if the client had not heard of it yet.
            tree._connected.set()
            tree._has_root = True
            asked = time.monotonic()
            results = tree.commit_many([[Check("/", 0)]] * 5000)
            assert time.monotonic() - asked < 3.0
            assert {type(result) for result in results} == {Unavailable}
            tree._connected.clear()
            proxy.heal()
            eventually(tree.sync)


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
        eventually(tree.sync)
        assert "started again" in caplog.text


@contextlib.contextmanager
def _closing(tree: ZooKeeperTree) -> Iterator[ZooKeeperTree]:
    yield tree
    tree.close()
