"""A small real cluster on one machine: ZooKeeper, MariaDB, SeaweedFS, an API, managers, and workers on hosts."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from .hosts import Host, child_of
from .netns import in_namespace
from .network import HUB, Network, end
from .server import Server, dying_with_us
from .services import MariaDB, SeaweedFS, ZooKeeper

CRONKEEPER = (sys.executable, "-m", "cronkeeper.cli.main")
PROBE = Path(__file__).with_name("probe.py")
API_PORT = 30000
"""On the hub; the machine's own loopback has a port of its choice."""
LIVE_TIMEOUT = 30.0
SERVICE_PORT = {"zookeeper": 2181, "mariadb": 3306, "seaweedfs": 8333}


class Daemon(Server):
    """A daemon of cronkeeper on the hub."""

    stop_timeout = 5.0

    def __init__(
        self, home: Path, words: Sequence[str], prefix: Sequence[str], *, probe: Sequence[str] = ("true",)
    ) -> None:
        super().__init__(home, HUB, API_PORT, prefix)
        self._words = list(words)
        self._probe = list(probe)

    def prepare(self) -> None:
        return

    def command(self) -> list[str]:
        return [*dying_with_us(), *CRONKEEPER, *self._words]

    def probe(self) -> list[str]:
        return self._probe


class Api(Daemon):
    """The API, on the hub and on the machine's own loopback: the sockets are made beforehand, each in its place."""

    def __init__(
        self, home: Path, words: Sequence[str], prefix: Sequence[str], listeners: Sequence[socket.socket]
    ) -> None:
        probe = [sys.executable, "-I", "-S", str(PROBE), "http", HUB, str(API_PORT)]
        super().__init__(home, words, prefix, probe=probe)
        self.inherited = tuple(listener.fileno() for listener in listeners)

    def environment(self) -> dict[str, str]:
        # One that is killed can't take its figures away with it.
        return {**os.environ, "TMPDIR": str(self.home)}


class Worker:
    """The worker of a host, under its guard."""

    def __init__(self, host: Host, config: Path) -> None:
        self.host = host
        self._config = config
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guard, which starts the daemon."""
        with (self.host.home / "worker.log").open("ab") as log:
            self._outer = self.host.exec(
                [*CRONKEEPER, "worker", "--config", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def guard_pid(self) -> int:
        """The guard, as the machine numbers it."""
        assert self._outer is not None
        return child_of(self._outer.pid)

    @property
    def daemon_pid(self) -> int:
        """The daemon, as the machine numbers it."""
        return child_of(self.guard_pid)

    def kill(self) -> None:
        """kill -9 the guard, with which the daemon goes."""
        if self._outer is not None and self._outer.poll() is None:
            os.kill(self.guard_pid, signal.SIGKILL)
        self.bury()

    def bury(self) -> None:
        """Take note that it is gone, with its host or by itself."""
        if self._outer is not None:
            end(self._outer)
            self._outer = None


class Cluster:
    """The whole, under `home`; it lives no longer than the thread that started it."""

    def __init__(
        self, home: Path, nodes: int = 2, managers: int = 2, *, settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings` are more environment variables for every daemon, such as CRONKEEPER_FLEET_RUN_LEASE."""
        self.home = home
        self._stack = ExitStack()
        self._count, self._manager_count = nodes, managers
        self._settings = dict(settings) if settings is not None else {}
        self.admin_token = secrets.token_urlsafe(24)
        self.user_token = secrets.token_urlsafe(24)
        self.hosts: dict[str, Host] = {}
        self.workers: dict[str, Worker] = {}
        self.managers: list[Daemon] = []

    def start(self, port: int = 0) -> None:
        """Start everything; returns when the API answers and every worker is live.

        `port` is the API's on this machine's loopback; 0 for any.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        os.environ.update(self._settings)
        own = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{own.getsockname()[1]}"
        self.network = self._stack.enter_context(Network())
        with in_namespace(self.network.namespace):
            hub = socket.create_server((HUB, API_PORT))
        self._listeners = (own, hub)
        for listener in self._listeners:
            listener.set_inheritable(True)
            self._stack.callback(listener.close)
        self._start_services()
        self._configs = self._write_configs()
        self._start_daemons()
        for number in range(1, self._count + 1):
            self.add_node(f"n{number}", f"10.77.0.{10 + number}")
        self._await_live()

    def add_node(self, name: str, ip: str) -> None:
        """Boot a host, make its key known, and start its worker."""
        host = Host(self.network, name, ip, self.home / "hosts" / name)
        host.start()
        self.hosts[name] = host
        if name not in self.workers:
            key = host.home / "node.key"
            self.cronkeeper("node", "add", name, "--key-file", str(key))
            self.workers[name] = Worker(host, self._worker_config(name, key))
            self._stack.callback(self.workers[name].kill)
        self.workers[name].start()

    def cronkeeper(self, *words: str) -> str:
        """Run the command line as an admin and return what it says."""
        variables = {"CRONKEEPER_URL": self.url, "CRONKEEPER_TOKEN": self.admin_token}
        environment = {**os.environ, **variables}
        command = [*CRONKEEPER, *words]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

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

    def _await_live(self) -> None:
        deadline = time.monotonic() + LIVE_TIMEOUT
        while not all(node["live"] for node in json.loads(self.cronkeeper("node", "list", "--json"))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the workers are not live after {LIVE_TIMEOUT} s: see {self.home}/hosts")

    def _start_services(self) -> None:
        prefix = self.network.prefix
        self.zookeeper = ZooKeeper(self.home / "zookeeper", HUB, SERVICE_PORT["zookeeper"], prefix)
        self.mariadb = MariaDB(self.home / "mariadb", HUB, SERVICE_PORT["mariadb"], prefix)
        self.seaweedfs = SeaweedFS(self.home / "seaweedfs", HUB, SERVICE_PORT["seaweedfs"], prefix)
        for server in (self.zookeeper, self.mariadb, self.seaweedfs):
            self._stack.callback(server.kill)
            server.start()

    def _start_daemons(self) -> None:
        prefix, config = self.network.prefix, ["--config", str(self._configs)]
        subprocess.run([*prefix, *dying_with_us(), *CRONKEEPER, "db", "upgrade", *config], check=True)
        self.api = Api(self.home / "api", ["api", *config], prefix, self._listeners)
        for number in range(1, self._manager_count + 1):
            self.managers.append(Daemon(self.home / f"manager{number}", ["manager", *config], prefix))
        for daemon in (*self.managers, self.api):
            self._stack.callback(daemon.stop)
            daemon.start()

    def _write_configs(self) -> Path:
        """The configuration of API and managers, which workers never see."""
        path = self.home / "cronkeeper.toml"
        path.touch(mode=0o600)
        binds = ",".join(f"fd://{listener.fileno()}" for listener in self._listeners)
        path.write_text(
            f'[sql]\nurl = "{self.mariadb.create_database("cronkeeper")}"\n'
            f'[api]\nbind = "{binds}"\nworkers = 1\n'
            f'admin_token = "{self.admin_token}"\nuser_token = "{self.user_token}"\n' + self._common()
        )
        return path

    def _worker_config(self, name: str, key: Path) -> Path:
        path = self.home / "hosts" / f"{name}.toml"
        path.touch(mode=0o600)
        home = self.hosts[name].home / "cronkeeper"
        path.write_text(
            f'[worker]\nnode = "{name}"\nhome = "{home}"\nkey_file = "{key}"\nallow_run_as = ["*"]\n'
            f'labels = ["host={name}"]\n'
            f'[api]\nurl = "http://{HUB}:{API_PORT}"\n' + self._common()
        )
        return path

    def _common(self) -> str:
        return (
            f'[zookeeper]\nhosts = "{self.zookeeper.hosts}"\n'
            f'[s3]\nendpoint = "{self.seaweedfs.endpoint}"\nbucket = "{self.seaweedfs.bucket}"\n'
            f'access_key = "{self.seaweedfs.access_key}"\nsecret_key = "{self.seaweedfs.secret_key}"\n'
        )
