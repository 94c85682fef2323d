"""nginx before the API, with the file of deploy/ and other addresses: what passes, and what is never repeated."""

import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.deployed import DEPLOY, adapted
from support.office import COMMAND
from support.servers import Site, gunicorn
from support.wait import wait_until
from testbed.server import Server, dying_with_us, free_port, program

from cronkeeper.api import artifacts, gunicorn_server

MAIN = """\
{user}
daemon off;
pid {home}/pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path {home}/bodies;
    proxy_temp_path {home}/answers;
    fastcgi_temp_path {home}/unused;
    uwsgi_temp_path {home}/unused;
    scgi_temp_path {home}/unused;
    include {home}/cronkeeper.conf;
}}
"""
JSON = {"Content-Type": "application/json"}


class Nginx(Server):
    """nginx with the file of deploy/, before two servers on these ports."""

    def __init__(self, home: Path, ports: tuple[int, int]) -> None:
        super().__init__(home)
        self._ports = ports

    def prepare(self) -> None:
        changes = {
            "10.0.0.21:30000": f"127.0.0.1:{self._ports[0]}",
            "10.0.0.22:30000": f"127.0.0.1:{self._ports[1]}",
            "10.0.0.10:30000": f"127.0.0.1:{self.port}",
            "/var/log/nginx/": f"{self.home}/",
        }
        (self.home / "cronkeeper.conf").write_text(adapted("nginx/cronkeeper.conf", changes))
        user = "user root;" if os.geteuid() == 0 else ""
        (self.home / "nginx.conf").write_text(MAIN.format(user=user, home=self.home))

    def command(self) -> list[str]:
        return [*dying_with_us(), program("nginx"), "-c", str(self.home / "nginx.conf"), "-p", str(self.home)]

    def probe(self) -> list[str]:
        return ["bash", "-c", f"exec 3<>/dev/tcp/{self.host}/{self.port}"]

    def bodies(self) -> list[Path]:
        """Those that it keeps on its disk."""
        return [path for path in (self.home / "bodies").rglob("*") if path.is_file()]


class Hangup:
    """A server that takes a request in and then ends the connection, as one does that is killed."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.seen: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                with link:
                    self.seen.append(_whole(link))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()


def _whole(link: socket.socket) -> bytes:
    """A request with its body, which may come in a packet of its own."""
    with link.makefile("rb") as stream:
        lines = [*iter(stream.readline, b"\r\n")]
        length = re.search(rb"(?im)^content-length: (\d+)", b"".join(lines))
        return b"".join(lines) + stream.read(int(length[1]) if length is not None else 0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def site(tmp_path: Path, stack: ExitStack) -> Site:
    """An API without a proxy."""
    (tmp_path / "api").mkdir()
    return stack.enter_context(gunicorn(tmp_path / "api"))


def behind(stack: ExitStack, site: Site, other: int) -> tuple[Nginx, Site]:
    """nginx before the API and one more server; and the API as it is seen through it."""
    nginx = Nginx(site.folder.parent / "nginx", (other, site.port))
    stack.callback(nginx.stop)
    nginx.start()
    return nginx, replace(site, port=nginx.port)


def create(site: Site, name: str) -> int:
    """POST of a job: the status."""
    return site.ask("POST", "/jobs", json.dumps({**COMMAND, "name": name}).encode(), **JSON)[0]


def names(site: Site) -> set[str]:
    return {job["name"] for job in site.ask("GET", "/jobs")[1]}


def test_requests_of_every_kind_pass_and_a_server_that_is_not_there_is_not_noticed(
    site: Site, stack: ExitStack
) -> None:
    _, seen = behind(stack, site, free_port())
    assert {create(seen, f"job-{number}") for number in range(10)} == {201}
    assert len(names(seen)) == 10
    status, problem = seen.ask("GET", "/jobs/999")
    assert (status, problem["title"]) == (404, "Not Found")


def test_a_large_file_streams_through_without_lying_on_nginxs_disk(site: Site, stack: ExitStack) -> None:
    nginx, seen = behind(stack, site, free_port())
    kept: list[Path] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 256 * 1024
            kept.extend(nginx.bodies())

    assert seen.put(pieces())[0] in (200, 201)
    assert kept == []
    assert len(site.files()) == 1


def answer(site: Site, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/health", headers=headers)
    given = connection.getresponse()
    given.read()
    connection.close()
    return given


def test_the_id_of_a_request_goes_through_the_whole_chain(site: Site, stack: ExitStack) -> None:
    nginx, seen = behind(stack, site, free_port())
    assert answer(seen, **{"X-Request-Id": "the-callers:1"}).headers["X-Request-Id"] == "the-callers:1"
    of_nginx = answer(seen, **{"X-Request-Id": "has spaces"}).headers["X-Request-Id"]
    assert of_nginx is not None
    assert re.fullmatch("[0-9a-f]{32}", of_nginx)
    log = nginx.home / "cronkeeper.log"
    ids = wait_until(
        lambda: [line.rsplit(" ", 1)[1] for line in log.read_text().splitlines()][1:] and log.read_text()
    )
    assert "the-callers:1\n" in ids
    assert f"{of_nginx}\n" in ids


def test_of_a_server_that_dies_over_it_a_get_is_repeated_and_a_post_never(
    site: Site, stack: ExitStack
) -> None:
    dying = Hangup()
    stack.callback(dying.close)
    _, seen = behind(stack, site, dying.port)

    def met(what: bytes) -> bool:
        assert seen.ask("GET", "/jobs")[0] == 200
        return any(request.startswith(what) for request in dying.seen)

    wait_until(lambda: met(b"GET /jobs "), 10)
    sent: dict[str, int] = {}

    def posted() -> list[str]:
        name = f"job-{len(sent)}"
        sent[name] = create(seen, name)
        return [name for name, status in sent.items() if status != 201]

    # It is left alone for 2 s after each failure.
    (refused,) = wait_until(posted, 20, 0.2)
    assert sent[refused] == 502
    assert refused.encode() in b"".join(dying.seen)
    assert names(site) == {name for name, status in sent.items() if status == 201}


def test_without_any_server_the_answer_looks_like_the_apis(site: Site, stack: ExitStack) -> None:
    nginx = Nginx(site.folder.parent / "nginx", (free_port(), free_port()))
    stack.callback(nginx.stop)
    nginx.start()
    given = answer(replace(site, port=nginx.port))
    assert (given.status, given.headers["Content-Type"]) == (502, "application/problem+json")


def test_nginx_is_more_patient_than_the_api_and_keeps_idle_connections_for_less_long() -> None:
    text = (DEPLOY / "nginx/cronkeeper.conf").read_text()
    said = dict(re.findall(r"^\s*(\w+) (\d+)[sm];$", text, re.M))
    assert int(said["keepalive_timeout"]) < gunicorn_server.KEEPALIVE
    assert int(said["send_timeout"]) >= gunicorn_server.READERS_PATIENCE
    assert int(said["proxy_read_timeout"]) > 60
    assert int(said["client_max_body_size"]) * 2**20 > artifacts.MAX_BYTES
