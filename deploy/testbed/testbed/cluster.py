"""A real cluster on one machine: ZooKeeper, SQL, S3, API and managers in rooms, workers on hosts."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from . import configuration
from .clock import Clock
from .daemons import CRONKEEPER, Api, Daemon, Worker
from .galera import Galera
from .haproxy import API_PORT, SQL_PORT, HAProxy
from .hosts import Host
from .network import Network, Room
from .plan import MOST_NODES, SMALL, Plan, address, numbered
from .server import Server, dying_with_us, free_port
from .services import MariaDB, SeaweedFS, ZooKeeper

__all__ = ["CRONKEEPER", "Cluster", "Daemon", "Plan", "Worker"]

LIVE_TIMEOUT = 30.0
ZOOKEEPER_PORT = 2181
S3_PORT = 8333
CONFIG = "cronkeeper.toml"
"""What API and managers read, below the home."""


class Cluster:
    """The whole, under `home`; it lives no longer than the thread that started it."""

    def __init__(
        self,
        home: Path,
        nodes: int = 2,
        managers: int = 2,
        *,
        settings: Mapping[str, str] | None = None,
        plan: Plan = SMALL,
    ) -> None:
        """`settings` are environment variables for every daemon, such as CRONKEEPER_FLEET_RUN_LEASE."""
        if nodes > MOST_NODES:
            raise ValueError(f"the network has addresses for {MOST_NODES} nodes")
        self.home = home
        self.plan = plan
        self._stack = ExitStack()
        self._nodes = numbered("n", nodes)
        self._settings = dict(settings) if settings is not None else {}
        self.admin_token = secrets.token_urlsafe(24)
        self.user_token = secrets.token_urlsafe(24)
        self.clocks: dict[str, Clock] = {}
        self.rooms: dict[str, Room] = {}
        self.hosts: dict[str, Host] = {}
        self.workers: dict[str, Worker] = {}
        self.zookeepers: list[ZooKeeper] = []
        self.databases: list[MariaDB] = []
        self.haproxy: HAProxy | None = None
        self.apis: list[Api] = []
        self.managers: list[Daemon] = []
        self._manager_names = numbered("manager", managers)

    def start(self, port: int = 0) -> None:
        """Start everything; returns when the API answers and every worker is live.

        `port` is the API's on this machine's loopback; 0 for any.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._entrance = port if port != 0 else free_port()
        self.url = f"http://127.0.0.1:{self._entrance}"
        self.network = self._stack.enter_context(Network())
        self._start_services()
        self._start_haproxy()
        self._start_daemons()
        self._add_nodes()
        self._await_live()

    @property
    def zookeeper(self) -> ZooKeeper:
        """The first one."""
        return self.zookeepers[0]

    @property
    def mariadb(self) -> MariaDB:
        """The first one."""
        return self.databases[0]

    @property
    def api(self) -> Api:
        """The first one."""
        return self.apis[0]

    @property
    def entrances(self) -> tuple[int, ...]:
        """The ports that HAProxy is reached at."""
        return (API_PORT, SQL_PORT) if self.plan.databases > 1 else (API_PORT,)

    def cronkeeper(self, *words: str) -> str:
        """Run the command line as an admin and return what it says."""
        return subprocess.run(
            [*CRONKEEPER, *words], env=self._as_admin(), check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def upgrade_tables(self, variables: Mapping[str, str]) -> None:
        """`cronkeeper db upgrade`; `variables` are added to our environment."""
        command = [*CRONKEEPER, "db", "upgrade", "--config", str(self.home / CONFIG)]
        upgrade = [*self._room("api1").prefix, *dying_with_us(), *command]
        subprocess.run(upgrade, env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL)

    def power_off(self, name: str) -> None:
        """Cut a host's power."""
        self.hosts[name].kill()
        self.workers[name].bury()

    def power_on(self, name: str) -> None:
        """Boot it again, with the same disk; its worker starts with it."""
        self.hosts[name].start()
        self.workers[name].start()

    def stop(self) -> None:
        """End everything, and remove what it left."""
        self._stack.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_services(self) -> None:
        for name in numbered("zk", self.plan.zookeepers):
            self.zookeepers.append(ZooKeeper(*self._place(name, ZOOKEEPER_PORT)))
        self.seaweedfs = SeaweedFS(*self._place("s3", S3_PORT))
        kind = Galera if self.plan.databases > 1 else MariaDB
        for name in numbered("db", self.plan.databases):
            self.databases.append(kind(*self._place(name, SQL_PORT)))
        for group in (self.zookeepers, self.databases):
            for server in group if len(group) > 1 else []:
                server.peers = [each.host for each in group]
        self._start_all([*self.zookeepers, self.seaweedfs, *self.databases])

    def _start_haproxy(self) -> None:
        if self.plan.balanced:
            apis = [address(name) for name in numbered("api", self.plan.apis)]
            several = [each.host for each in self.databases] if self.plan.databases > 1 else []
            place = self.home / "haproxy", self._room("haproxy")
            self.haproxy = HAProxy(*place, apis, several, self._entrance)
            self._start_all([self.haproxy])

    def _start_daemons(self) -> None:
        config = ["--config", str(self._write_config())]
        self.upgrade_tables(self._settings)
        for name in self._manager_names:
            variables = {**self._variables(name), "CRONKEEPER_MANAGER_NAME": name}
            self.managers.append(Daemon(self.home / name, self._room(name), ["manager", *config], variables))
        for name in numbered("api", self.plan.apis):
            self.apis.append(Api(self.home / name, self._room(name), ["api", *config], self._variables(name)))
        if not self.plan.balanced:
            self.api.entrance = self._entrance
        self._start_all([*self.managers, *self.apis])

    def _add_nodes(self) -> None:
        """Boot the hosts, make their keys known, and start their workers."""
        adding = []
        for name in self._nodes:
            clock = self._clock(name)
            host = Host(self.network, name, address(name), self.home / "hosts" / name, clock)
            self.hosts[name] = host
            host.start()
            key = host.home / "node.key"
            words = [*CRONKEEPER, "node", "add", name, "--key-file", str(key)]
            adding.append(subprocess.Popen(words, env=self._as_admin(), stdout=subprocess.DEVNULL))
            worker = Worker(host, self._write_worker_config(name, key), self._settings)
            self.workers[name] = worker
            self._stack.callback(worker.kill)
        if any(process.wait() != 0 for process in adding):
            raise RuntimeError("the nodes could not be added")
        for worker in self.workers.values():
            worker.start()

    def _await_live(self) -> None:
        deadline = time.monotonic() + LIVE_TIMEOUT
        while not all(node["live"] for node in json.loads(self.cronkeeper("node", "list", "--json"))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the workers are not live after {LIVE_TIMEOUT} s: see {self.home}/hosts")

    def _start_all(self, servers: Sequence[Server]) -> None:
        for server in servers:
            self._stack.callback(server.kill)
            server.launch()
        for server in servers:
            server.await_ready()

    def _place(self, name: str, port: int) -> tuple[Path, str, int, tuple[str, ...]]:
        """What a server in a room of its own is made of."""
        room = self._room(name)
        return self.home / name, room.ip, port, room.prefix

    def _room(self, name: str) -> Room:
        if name not in self.rooms:
            self.rooms[name] = Room(self.network, name, address(name))
        return self.rooms[name]

    def _clock(self, name: str) -> Clock | None:
        if self.plan.clocks:
            self.clocks[name] = Clock(self.home / "clocks" / name)
        return self.clocks.get(name)

    def _variables(self, name: str) -> dict[str, str]:
        clock = self._clock(name)
        return {**self._settings, **(clock.environment if clock is not None else {})}

    def _as_admin(self) -> dict[str, str]:
        login = {"CRONKEEPER_URL": self.url, "CRONKEEPER_TOKEN": self.admin_token}
        return {**os.environ, **self._settings, **login}

    def _write_config(self) -> Path:
        self.mariadb.create_database("cronkeeper")
        entrance = self.haproxy.host if self.plan.databases > 1 and self.haproxy is not None else None
        sql = self.mariadb.url("cronkeeper", entrance)
        ours = configuration.of_servers(sql, self.admin_token, self.user_token)
        every = configuration.of_all(self.zookeepers, self.seaweedfs)
        return configuration.write(self.home / CONFIG, ours, every)

    def _write_worker_config(self, name: str, key: Path) -> Path:
        server = self.haproxy if self.haproxy is not None else self.api
        url = f"http://{server.host}:{API_PORT}"
        own = configuration.of_worker(name, self.hosts[name].home / "cronkeeper", key, url)
        every = configuration.of_all(self.zookeepers, self.seaweedfs)
        return configuration.write(self.home / "hosts" / f"{name}.toml", own, every)
