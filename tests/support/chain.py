"""Several servers of the API behind HAProxy, as an operator would have them, and people and programs at work."""

import os
import re
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3
from testbed.haproxy import API_PORT, APIS, CONFIGURATION, FIGURES, OURS, replaced
from testbed.server import Server, dying_with_us, free_port, program
from testbed.services import PROBE

from cronkeeper.cli.client import Client

from .wait import wait_until

CRONKEEPER = (sys.executable, "-m", "cronkeeper.cli.main")
BREATH = 0.05
"""Seconds between two rounds of each thread of the load."""


class Daemon(Server):
    """A daemon of cronkeeper on loopback, in a session of its own."""

    def __init__(self, home: Path, word: str, settings: Mapping[str, str], port: int | None = None) -> None:
        super().__init__(home, port=port)
        self._word = word
        self._settings = dict(settings)

    def prepare(self) -> None:
        return

    def command(self) -> list[str]:
        return [*dying_with_us(), *CRONKEEPER, self._word]

    def environment(self) -> dict[str, str]:
        own = {f"CRONKEEPER_{key}": value for key, value in self._settings.items()}
        # One that is killed can't take its figures away with it.
        return {**os.environ, **own, "TMPDIR": str(self.home)}

    def probe(self) -> list[str]:
        return ["true"]

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.log_path.read_text()


class Api(Daemon):
    """One server of the API, of two processes."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        super().__init__(home, "api", {**settings, "API_BIND": self.address}, port)

    def probe(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(PROBE), "http", self.host, str(self.port)]

    def children(self) -> list[int]:
        """The processes that answer."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


class HAProxy(Server):
    """The one of deploy/haproxy, with other addresses."""

    def __init__(self, home: Path, apis: list[Api]) -> None:
        super().__init__(home)
        self._apis = apis
        self._figures = f"127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        theirs = {f"{ip}:{API_PORT}": api.address for ip, api in zip(APIS, self._apis, strict=True)}
        own = {f"10.0.0.10:{API_PORT}": f"127.0.0.1:{self.port}", FIGURES: self._figures}
        text = (CONFIGURATION / "haproxy.cfg").read_text()
        ours = OURS | {"/run/haproxy/admin.sock": str(self.home / "admin.sock")}
        (self.home / "haproxy.cfg").write_text(replaced(text, ours | theirs | own))

    def command(self) -> list[str]:
        return [*dying_with_us(), program("haproxy"), "-db", "-f", "haproxy.cfg"]

    def probe(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(PROBE), "http", self.host, str(self.port)]

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.log_path.read_text()

    def up(self) -> list[str]:
        """The servers that it sends requests to."""
        page = urllib3.request("GET", f"http://{self._figures}/metrics", retries=False).data.decode()
        found = re.findall(r'haproxy_server_status\{proxy="api",server="(\w+)",state="UP"\} 1', page)
        return sorted(found)

    def await_all(self) -> None:
        """Wait until it sends requests to all of them."""
        wait_until(lambda: len(self.up()) == len(self._apis), 20)


@dataclass
class Load:
    """Threads that look and create, without a pause, as long as the context lasts. No failure ends them."""

    url: str
    token: str
    acknowledged: list[str] = field(default_factory=list)
    """The names of jobs that were answered with 201."""
    runs: list[tuple[str, str]] = field(default_factory=list)
    """(job, run) that were answered with 202."""
    cut: list[str] = field(default_factory=list)
    """What was sent without a key, and failed: it may or may not have been done."""
    failed: list[str] = field(default_factory=list)
    """All else that failed."""
    looks: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._http = urllib3.PoolManager(retries=False, maxsize=16, timeout=60)
        self._client = Client(self.url, self.token)
        self._client._http = self._http

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(8)
        for work in (self._look, self._look, self._look, self._create, self._create, self._create_anyhow):
            self._pool.submit(self._again_and_again, work)
        return self

    def __exit__(self, _kind: object, _error: object, _traceback: TracebackType | None) -> None:
        self._stop.set()
        self._pool.shutdown()

    def _again_and_again(self, work: Callable[[], None]) -> None:
        while not self._stop.wait(BREATH):
            try:
                work()
            except Exception as error:  # a thread that ends in silence would make all look well
                self.failed.append(f"{work.__name__}: {error!r}")

    def _look(self) -> None:
        """A strict client: HAProxy alone may repeat."""
        job = self.runs[-1] if self.runs else ("1", "none")
        paths = ["/jobs?limit=20", "/jobs?limit=5&sort=-name", f"/jobs/{job[0]}/runs", "/openapi.json"]
        if self.runs:
            paths += [f"/jobs/{job[0]}", f"/runs/{job[1]}", "/nodes", "/metrics"]
        for path in paths:
            answer = self._raw("GET", path)
            self.looks += 1
            if answer.status not in (200, 404) or (answer.status == 404 and self.runs):
                self.failed.append(f"GET {path}: {answer.status} {answer.data[:200]!r}")

    def _create(self) -> None:
        """The house's own client: it sends a key, and repeats."""
        name = uuid.uuid4().hex
        job = self._client.create("/jobs", _job(name)).json
        self.acknowledged.append(name)
        run = self._client.create(f"/jobs/{job['id']}/runs").json
        self.runs.append((job["id"], run["id"]))

    def _create_anyhow(self) -> None:
        name = uuid.uuid4().hex
        try:
            answer = self._raw("POST", "/jobs", _job(name))
        except urllib3.exceptions.HTTPError as error:
            self.cut.append(f"{name}: {error!r}")
            return
        if answer.status == 201:
            self.acknowledged.append(name)
        else:
            self.cut.append(f"{name}: {answer.status} {answer.data[:200]!r}")

    def _raw(self, method: str, path: str, json: Any = None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._http.request(method, self.url + path, json=json, headers=headers)


def _job(name: str) -> dict[str, Any]:
    return {"type": "command", "command": "true", "schedule": None, "name": name}
