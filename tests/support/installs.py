"""The installs that the acceptance tests run on: embedded, by two users, and the cluster of the test-bed."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from testbed.cluster import CRONKEEPER, Cluster
from testbed.hosts import USER_HOME, Host, child_of
from testbed.server import free_port

from support.client import Client
from support.wait import wait_until

FOREIGN = '# mine\nMAILTO=""\n17 *\t* * *   true  100\\% # caf\u00e9\n'


class Embedded:
    """`cronkeeper up` on a host of its own that shares the machine's loopback."""

    def __init__(self, host: Host, user: str, *, root_home: Path) -> None:
        self.host = host
        self.user = user
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._seen = root_home / "var" if user == "root" else USER_HOME / "var"
        self.home = root_home / "var" if user == "root" else host.user_home / "var"
        self.log = root_home / "up.log"
        self._outer: subprocess.Popen[bytes] | None = None
        self.runs_as = "nobody" if user == "root" else user

    def seed_foreign_lines(self) -> None:
        self.host.run(["crontab", "-"], self.user, text=FOREIGN)

    def start(self) -> None:
        """Start it, and return when it says that it is ready."""
        said = self.log.stat().st_size if self.log.exists() else 0
        words = ["up", "--home", self._seen, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._outer = self.host.exec(
                [*CRONKEEPER, *words], self.user, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: b"cronkeeper is ready" in self.log.read_bytes()[said:] or self._failed(), 30)

    def _failed(self) -> bool:
        assert self._outer is not None
        assert self._outer.poll() is None, self.log.read_text()
        return False

    @property
    def guard(self) -> int:
        assert self._outer is not None
        return child_of(self._outer.pid)

    @property
    def daemon(self) -> int:
        return child_of(self.guard)

    def kill(self) -> None:
        """kill -9 the guard and the daemon, which dies with it: it may be gone before it is told."""
        for pid in (self.guard, self.daemon):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.await_end()

    def await_end(self) -> None:
        """Wait until the guard is gone."""
        assert self._outer is not None
        self._outer.wait(10)

    def stop(self) -> str:
        """Stop it as `make down` does; returns what it said."""
        assert self._outer is not None
        os.kill(self.guard, signal.SIGTERM)
        self._outer.wait(30)
        return self.log.read_text()

    @property
    def client(self) -> Client:
        return Client(self.url, (self.home / "admin.token").read_text().strip())

    @property
    def user_client(self) -> Client:
        return Client(self.url, (self.home / "user.token").read_text().strip())

    def crontabs(self) -> dict[str, str]:
        name = self.client.get("/nodes")[0]["name"]
        return {name: self.host.run(["crontab", "-l"], self.user).stdout}


class Testbed:
    """The cluster."""

    __test__ = False
    runs_as = "nobody"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def seed_foreign_lines(self) -> None:
        for host in self.cluster.hosts.values():
            table = host.cron_d / "cronkeeper"
            table.write_text(FOREIGN.replace("* * *   true", "* * *  root true"))
            table.chmod(0o644)

    @property
    def client(self) -> Client:
        return Client(self.cluster.url, self.cluster.admin_token)

    @property
    def user_client(self) -> Client:
        return Client(self.cluster.url, self.cluster.user_token)

    def crontabs(self) -> dict[str, str]:
        return {name: (host.cron_d / "cronkeeper").read_text() for name, host in self.cluster.hosts.items()}


def next_minute(margin: float = 0.0) -> float:
    """Sleep-free arithmetic: the wall's time of the next whole minute that is at least `margin` seconds away."""
    now = time.time() + margin
    return now - now % 60 + 60


def sleep_until(instant: float) -> None:
    """Wait for an instant of the wall's time: what a test of ticks is about."""
    while (left := instant - time.time()) > 0:
        time.sleep(min(left, 1))
