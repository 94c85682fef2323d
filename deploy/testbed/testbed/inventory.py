"""Which parts a cluster has, by their names."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .cluster import Cluster
from .daemons import Worker
from .hosts import Host
from .parts import Part, Process
from .server import Server

HAPROXY, API, MANAGER, ZOOKEEPER, SQL, S3, HOST = (
    "HAProxy",
    "API",
    "managers",
    "ZooKeeper",
    "SQL",
    "S3",
    "hosts, each with a worker and a crond",
)


def parts_of(cluster: Cluster) -> dict[str, Part]:
    """Every part of a cluster that has started."""
    servers: dict[str, Iterable[Server]] = {
        HAPROXY: [cluster.haproxy] if cluster.haproxy is not None else [],
        API: cluster.apis,
        MANAGER: cluster.managers,
        ZOOKEEPER: cluster.zookeepers,
        SQL: cluster.databases,
        S3: [cluster.seaweedfs],
    }
    found = [_of_server(cluster, server, kind) for kind, group in servers.items() for server in group]
    for name in cluster.hosts:
        found += _of_host(cluster, name)
    return {part.name: part for part in found}


def _of_server(cluster: Cluster, server: Server, kind: str) -> Part:
    name = server.home.name
    ports = {MANAGER: (), HAPROXY: cluster.entrances}.get(kind, (server.port,))
    return Part(name, kind, ports, server, cluster.rooms[name], cluster.clocks.get(name))


def _of_host(cluster: Cluster, name: str) -> list[Part]:
    host, clock = cluster.hosts[name], cluster.clocks.get(name)
    inside: dict[str, Process] = {"worker": _OfWorker(cluster.workers[name]), "cron": _Crond(host)}
    whole = Part(name, HOST, (), _Power(cluster, host), host, clock)
    return [
        whole,
        *(
            replace(whole, name=f"{name}.{each}", process=inside[each], clock=None, alone=False)
            for each in inside
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Power:
    """A host's power: with it goes all that runs there."""

    cluster: Cluster
    host: Host

    def pids(self) -> list[int]:
        return self.host.pids()

    def kill(self) -> None:
        self.cluster.power_off(self.host.name)

    def launch(self) -> None:
        self.cluster.power_on(self.host.name)

    def await_ready(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _OfWorker:
    """A worker: the guard and the daemon; what they have started is not."""

    worker: Worker

    def pids(self) -> list[int]:
        return self.worker.pids()

    def kill(self) -> None:
        self.worker.kill()

    def launch(self) -> None:
        self.worker.start()

    def await_ready(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Crond:
    """The crond of a host."""

    host: Host

    def pids(self) -> list[int]:
        return self.host.cron_pids()

    def kill(self) -> None:
        self.host.kill_cron()

    def launch(self) -> None:
        self.host.start_cron()

    def await_ready(self) -> None:
        return
