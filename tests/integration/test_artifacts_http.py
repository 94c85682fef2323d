"""Files that are sent to the API's real servers: in one piece, in many, and not to their end."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from support.office import TOKENS, Office
from support.wait import wait_until
from testbed.hosts import child_of

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import serve_embedded
from cronkeeper.common.artifacts.store import sha256_of

FILE = b"\x7fELF\x00\xff" * 500_000
NAME = sha256_of(FILE)
MIB = 1024 * 1024
HEADERS = {"Authorization": f"Bearer {TOKENS[Role.USER]}"}
GUNICORN = """
import sys
from pathlib import Path
from support.office import Office
from cronkeeper.api.server import gunicorn_app
gunicorn_app(lambda: Office(Path(sys.argv[1])).app, ["fd://" + sys.argv[2]], 1, 4).run()
"""


@dataclass
class Site:
    """A server, its folder, and the process that takes requests in."""

    port: int
    folder: Path
    pid: int

    def put(self, body: bytes | IO[bytes] | Iterator[bytes]) -> tuple[int, Any]:
        """The answer's status and content. An iterator is sent in chunks, without a Content-Length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("PUT", "/artifacts", body, HEADERS)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def send(self, header: str, body: bytes) -> socket.socket:
        """Begin to send a body as the header says; the connection is open then."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        token = HEADERS["Authorization"]
        head = f"PUT /artifacts HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{header}\r\n\r\n"
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


@pytest.fixture
def waitress(tmp_path: Path) -> Iterator[Site]:
    office = Office(tmp_path)
    server = serve_embedded(office.app, listen("127.0.0.1", 0), 4)
    yield Site(server.port, tmp_path, os.getpid())
    server.close()
    office.close()


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Site]:
    tests = Path(__file__).parents[1]
    with listen("127.0.0.1", 0) as listener:
        number = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-c", GUNICORN, str(tmp_path), str(number)],
            pass_fds=[number],
            env={**os.environ, "PYTHONPATH": str(tests)},
        )
        site = Site(listener.getsockname()[1], tmp_path, 0)
        site.put(b"once it answers, all that it needs is loaded")
        site.pid = child_of(server.pid)
        (tmp_path / "store" / site.files()[0][:2] / site.files()[0]).unlink()
        yield site
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


@pytest.fixture(params=["waitress", "gunicorn"])
def site(request: pytest.FixtureRequest) -> Site:
    made: Site = request.getfixturevalue(request.param)
    return made


def test_a_file_is_sent_with_its_length_or_in_chunks(site: Site) -> None:
    pieces = (FILE[start : start + 70_000] for start in range(0, len(FILE), 70_000))
    for body in (FILE, pieces):
        status, answer = site.put(body)
        assert (status, answer["sha256"], answer["size"]) == (201, NAME, len(FILE))
    assert site.files() == [NAME]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Length: 3000000", FILE[:100_000]),
        ("Content-Length: 3000000", b""),
        ("Transfer-Encoding: chunked", b"186a0\r\n" + FILE[:50_000]),
        ("Transfer-Encoding: chunked", b"186a0\r\n" + FILE[:100_000] + b"\r\n"),
    ],
)
def test_a_file_that_is_not_sent_to_its_end_is_not_stored(site: Site, header: str, body: bytes) -> None:
    with site.send(header, body) as link:
        link.shutdown(socket.SHUT_WR)
        answered = link.recv(100)
    assert answered == b"" or b" 400 " in answered
    wait_until(lambda: site.files() == [])
    assert site.put(b"the next one")[0] == 201
    assert site.files() == [sha256_of(b"the next one")]


def test_a_file_that_is_said_to_be_too_large_is_refused_before_it_is_sent(site: Site) -> None:
    with site.send(f"Content-Length: {1024**3 + 1}", b"") as link:
        assert b" 413 " in link.recv(100)
    assert site.files() == []


def test_128_mib_go_through_gunicorn_in_a_fraction_of_that_memory(gunicorn: Site) -> None:
    before = gunicorn.peak()
    for _ in range(2):
        status, answer = gunicorn.put(bytes(MIB) for _ in range(128))
        assert (status, answer["size"]) == (201, 128 * MIB)
    assert gunicorn.peak() - before < 32
