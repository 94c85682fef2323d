"""The real servers, started once for all tests, with a fresh place in them for each test."""

import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from kazoo.client import KazooClient
from support.office import Office
from testbed.services import MariaDB, SeaweedFS, Server, ZooKeeper

from cronkeeper.api.server import serve_embedded
from cronkeeper.common.store.store import Store

S = TypeVar("S", bound=Server)


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    yield from _running(ZooKeeper(tmp_path_factory.mktemp("zookeeper")))


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    yield from _running(MariaDB(tmp_path_factory.mktemp("mariadb")))


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    yield from _running(SeaweedFS(tmp_path_factory.mktemp("seaweedfs")))


@pytest.fixture
def own_zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ZooKeeper]]:
    """Starts a server that is this test's alone: it may be stopped, killed and restarted."""
    yield from _factory(ZooKeeper, tmp_path_factory)


@pytest.fixture
def own_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], MariaDB]]:
    """As `own_zookeeper`."""
    yield from _factory(MariaDB, tmp_path_factory)


@pytest.fixture
def own_seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], SeaweedFS]]:
    """As `own_zookeeper`."""
    yield from _factory(SeaweedFS, tmp_path_factory)


@pytest.fixture
def zk_chroot(zookeeper: ZooKeeper) -> str:
    """Hosts with a fresh chroot, as a client takes them."""
    chroot = f"/test-{uuid.uuid4().hex}"
    client = KazooClient(zookeeper.hosts)
    client.start()
    client.create(chroot)
    client.stop()
    client.close()
    return zookeeper.hosts + chroot


@pytest.fixture
def maria_url(mariadb: MariaDB) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database."""
    name = f"test_{uuid.uuid4().hex}"
    yield mariadb.create_database(name)
    mariadb.execute(f"DROP DATABASE `{name}`")


def _running(server: S) -> Iterator[S]:
    server.start()
    yield server
    server.stop()


def _factory(kind: type[S], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], S]]:
    started: list[S] = []

    def start() -> S:
        server = kind(tmp_path_factory.mktemp(kind.__name__.lower()))
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    """The URL of an API that works."""
    store = Store(f"sqlite:///{tmp_path / 'cronkeeper.db'}")
    store.upgrade()
    store.close()
    office = Office(tmp_path)
    server = serve_embedded(office.app, socket.create_server(("127.0.0.1", 0)))
    yield f"http://127.0.0.1:{server.port}"
    server.close()
    office.close()
