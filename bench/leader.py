"""A leader of a large fleet: how long it takes to take over, and to move the jobs of a node that has died."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection
from support.samples import new_job
from support.wait import wait_until
from testbed.cluster import CRONKEEPER
from testbed.server import dying_with_us
from testbed.services import MariaDB

from bench.ensembles import ensemble
from bench.measure import Row, memory, show
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, Delete
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
from cronkeeper.common.model import LiveNode, Node, encode
from cronkeeper.common.store import jobs, nodes
from cronkeeper.common.store.store import Store

NODES = 1000
SITES = 10
"""Nodes are at one of so many; every tenth job requires one of them."""
DEATHS = 5
INSERTED_AT_ONCE = 2000
SESSION_TIMEOUT = 30.0
PATIENCE = 1800.0
HEADER = ["cold start, s", "a death, s", "most, s", "RSS MB"]


def run(home: Path, count: int, runs: int) -> None:
    """Measure, and print."""
    mariadb = MariaDB(home / "mariadb")
    try:
        mariadb.start()
        with ensemble(home / "ensemble") as hosts:
            fleet = Fleet(home, hosts, mariadb.create_database("cronkeeper"))
            fleet.fill(count)
            first = fleet.first_time(count)
            rows = [fleet.measure(DEATHS * number) for number in range(runs)]
    finally:
        mariadb.kill()
    show(f"a leader with {count} jobs on {NODES} nodes", HEADER, {"manager": rows})
    show("all of them placed and published for the first time", ["s", "jobs a second"], {"manager": [first]})


class Fleet:
    """Nodes that are no more than their signs of life, and one manager, which is real, as are its servers."""

    def __init__(self, home: Path, hosts: str, url: str) -> None:
        self._log = home / "manager.log"
        self._store = Store(url)
        self._store.upgrade()
        self._tree = ZooKeeperTree(hosts, "/cronkeeper", SESSION_TIMEOUT)
        servers = {"CRONKEEPER_SQL_URL": url, "CRONKEEPER_ZOOKEEPER_HOSTS": hosts}
        keys = {"CRONKEEPER_S3_ACCESS_KEY": "none", "CRONKEEPER_S3_SECRET_KEY": "none"}
        self._environment = {**os.environ, **servers, **keys, "CRONKEEPER_S3_ENDPOINT": "http://127.0.0.1:9"}

    def fill(self, count: int) -> None:
        """Announce the nodes, and put the jobs into SQL."""
        for folder in paths.skeleton():
            self._tree.ensure(folder)
        self._store.transaction(_add_nodes, writes=True)
        for number in range(NODES):
            for folder in paths.node_skeleton(f"n{number}"):
                self._tree.ensure(folder)
            self._announce(number)
        for first in range(0, count, INSERTED_AT_ONCE):
            numbers = range(first, min(first + INSERTED_AT_ONCE, count))
            self._store.transaction(lambda conn, numbers=numbers: _insert(conn, numbers), writes=True)  # type: ignore[misc]

    def first_time(self, count: int) -> Row:
        """Seconds until all have been published, and how many that was in each."""
        began = time.monotonic()
        with self._manager():
            wait_until(lambda: self._published() >= count, PATIENCE, every=1.0)
        took = time.monotonic() - began
        return [took, count / took]

    def measure(self, first: int) -> Row:
        """A job that came in while nobody led is published; then nodes die one after the other."""
        job_id = self._store.transaction(lambda conn: _insert(conn, [0]), writes=True)
        began = time.monotonic()
        with self._manager() as process:
            wait_until(lambda: self._is_placed(job_id), PATIENCE, every=0.02)
            cold = time.monotonic() - began
            deaths = sorted(self._die(number) for number in range(first, first + DEATHS))
            resident, _ = memory(process.pid)
        return [cold, deaths[DEATHS // 2], deaths[-1], resident]

    def _die(self, number: int) -> float:
        """Seconds from the end of a node's session until nothing lies on it any more."""
        sign, claims = paths.live(f"n{number}"), paths.claims(f"n{number}")
        time.sleep(1)  # so that the round before is over
        version = self._tree.get(sign).version
        began = time.monotonic()
        self._tree.commit([Delete(sign, version)])
        wait_until(lambda: not self._tree.children(claims), PATIENCE, every=0.002)
        return time.monotonic() - began

    def _announce(self, number: int) -> None:
        labels = {"site": f"s{number % SITES}"}
        live = LiveNode(name=f"n{number}", incarnation="", boot_id="", version="", crond=True, labels=labels)
        self._tree.commit([Create(paths.live(live.name), encode(live), ephemeral=True)])

    def _published(self) -> int:
        claims = self._tree.children_many([paths.claims(f"n{number}") for number in range(NODES)])
        return sum(len(names) for names in claims if names is not None)

    def _is_placed(self, job_id: int) -> bool:
        return self._store.transaction(lambda conn: jobs.get(conn, job_id)).assigned_node is not None

    @contextmanager
    def _manager(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [*dying_with_us(), *CRONKEEPER, "manager"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        try:
            yield process
            assert process.poll() is None, self._log.read_text()[-2000:]
        finally:
            process.terminate()
            process.wait()


def _add_nodes(connection: Connection) -> None:
    now = datetime.now(UTC)
    for number in range(NODES):
        nodes.add(connection, Node(name=f"n{number}", public_key="", added_at=now))


def _insert(connection: Connection, numbers: "range | list[int]") -> int:
    """The id of the last one."""
    now, job_id = datetime.now(UTC), 0
    for number in numbers:
        requires = {"site": f"s{number // 10 % SITES}"} if number % 10 == 0 else {}
        schedule = f"{number % 60} {number // 60 % 24} * * *"
        new = new_job(name=f"job {number}", schedule=schedule, requires=requires)
        job_id = jobs.insert(connection, new, "bench", now).id
    return job_id
