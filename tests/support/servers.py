"""The API's real servers, each before an `Office`, and clients that send what they like."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from testbed.hosts import child_of

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import serve_embedded

from .office import TOKENS, Office

HEADERS = {"Authorization": f"Bearer {TOKENS[Role.USER]}"}
GUNICORN = """
import sys
from pathlib import Path
from support.office import Office
from cronkeeper.api.gunicorn_server import Server, Serving
def office(leaving):
    made = Office(Path(sys.argv[1]), leaving=leaving)
    made.store.upgrade()
    return made.app
bind = ["fd://" + sys.argv[2]]
serving = Serving(factory=office, bind=bind, workers=1, threads=4, drain_delay=0.5, patience=2.0)
Server(lambda: serving).run()
"""


@dataclass
class Site:
    """A server, its folder, and the process that takes requests in."""

    port: int
    folder: Path
    pid: int

    def put(self, body: bytes | IO[bytes] | Iterator[bytes]) -> tuple[int, Any]:
        """PUT /artifacts: status and content. An iterator is sent in chunks, without a Content-Length."""
        return self.ask("PUT", "/artifacts", body)

    def ask(
        self, method: str, path: str, body: bytes | IO[bytes] | Iterator[bytes] | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request: the answer's status and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, HEADERS | headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def send(self, header: str, body: bytes, request: str = "PUT /artifacts") -> socket.socket:
        """Begin to send a body as the header says; the connection is open then."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        token = HEADERS["Authorization"]
        head = f"{request} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{header}\r\n\r\n"
        link.sendall(head.encode() + body)
        return link

    def files(self) -> list[str]:
        return [path.name for path in (self.folder / "store").rglob("*") if path.is_file()]

    def peak(self) -> int:
        """The most memory that the process has had so far, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) // 1024


@contextmanager
def waitress(folder: Path) -> Iterator[Site]:
    """As in the embedded install, in this process."""
    office = Office(folder)
    office.store.upgrade()
    server = serve_embedded(office.app, listen("127.0.0.1", 0), 4)
    yield Site(server.port, folder, os.getpid())
    server.close()
    office.close()


@contextmanager
def gunicorn(folder: Path) -> Iterator[Site]:
    """As in a cluster: one process of four threads."""
    tests = Path(__file__).parents[1]
    with listen("127.0.0.1", 0) as listener:
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-c", GUNICORN, str(folder), str(number)],
            pass_fds=[number],
            env={**os.environ, "PYTHONPATH": str(tests)},
        )
        try:
            site = Site(listener.getsockname()[1], folder, 0)
            site.put(b"once it answers, all that it needs is loaded")
            site.pid = child_of(server.pid)
            (folder / "store" / site.files()[0][:2] / site.files()[0]).unlink()
            yield site
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
        finally:
            server.kill()
            server.wait()


SERVERS = {"waitress": waitress, "gunicorn": gunicorn}
