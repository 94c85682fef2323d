"""Where it is measured: a host with cronkeeper and its own crond, and many jobs on it at once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.client import Client
from support.installs import Embedded
from support.wait import wait_until
from testbed.cluster import Cluster, Plan
from testbed.hosts import Host

CONNECTIONS = 8
WHOLE = Plan(zookeepers=3, apis=2, databases=3)
PER_JOB = 0.5
"""Seconds that each of many jobs may take on its way to the crontab; far more than it does."""


@dataclass(frozen=True)
class Site:
    """One host. `embedded` is None where API, manager and stores run elsewhere."""

    host: Host
    url: str
    token: str
    crontab: Path
    runs: Path
    """Where the worker keeps a folder for each run that is not yet done with."""
    guard: int
    daemon: int
    embedded: Embedded | None

    def client(self) -> Client:
        """An admin's, with a connection of its own."""
        return Client(self.url, self.token)

    @property
    def roles(self) -> Mapping[int, str]:
        """The processes that are cronkeeper."""
        return {self.guard: "guard", self.daemon: "daemon"}

    @property
    def lines(self) -> int:
        """How many of our jobs stand in the crontab."""
        return self.crontab.read_bytes().count(b" # cronkeeper ") if self.crontab.exists() else 0

    def add(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Create the jobs, and return when all stand in the crontab."""
        before = self.lines
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self._add, [jobs[number::CONNECTIONS] for number in range(CONNECTIONS)]))
        wait_until(lambda: self.lines >= before + len(jobs), 30 + PER_JOB * len(jobs), every=0.2)

    def _add(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        client = self.client()
        for job in jobs:
            client.create(**job)


@contextmanager
def site(home: Path, install: str) -> Iterator[Site]:
    """A site that lasts as long as the block."""
    with embedded(home) if install == "embedded" else cluster(home) as made:
        yield made


@contextmanager
def embedded(home: Path) -> Iterator[Site]:
    """`cronkeeper up` by root."""
    with Host(None, "bench", "", home / "host") as host:
        install = Embedded(host, "root", root_home=home)
        install.start()
        yield site_of(install)
        install.stop()


def site_of(install: Embedded) -> Site:
    """An install that runs; after another start it is another one."""
    return Site(
        host=install.host,
        url=install.url,
        token=(install.home / "admin.token").read_text().strip(),
        crontab=install.host.crontab(install.user),
        runs=install.home / "worker/runs",
        guard=install.guard,
        daemon=install.daemon,
        embedded=install,
    )


@contextmanager
def cluster(home: Path) -> Iterator[Site]:
    """The test-bed's whole cluster with one node: the node's host has only the worker on it."""
    with Cluster(home / "cluster", nodes=1, plan=WHOLE) as servers:
        worker = servers.workers["n1"]
        host = servers.hosts["n1"]
        made = Site(
            host=host,
            url=servers.url,
            token=servers.admin_token,
            crontab=host.cron_d / "cronkeeper",
            runs=host.home / "cronkeeper/runs",
            guard=worker.guard_pid,
            daemon=worker.daemon_pid,
            embedded=None,
        )
        client = made.client()
        wait_until(lambda: any(node["live"] for node in client.get("/nodes")), 30)
        yield made
