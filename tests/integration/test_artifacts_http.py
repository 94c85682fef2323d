"""Files that are sent to the API's real servers: in one piece, in many, and not to their end."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import SERVERS, Site, gunicorn
from support.wait import wait_until

from cronkeeper.common.artifacts.store import sha256_of

FILE = b"\x7fELF\x00\xff" * 500_000
NAME = sha256_of(FILE)
MIB = 1024 * 1024


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with SERVERS[request.param](tmp_path) as made:
        yield made


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


def test_128_mib_go_through_gunicorn_in_a_fraction_of_that_memory(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as site:
        _sends_128_mib(site)


def _sends_128_mib(gunicorn: Site) -> None:
    before = gunicorn.peak()
    for _ in range(2):
        status, answer = gunicorn.put(bytes(MIB) for _ in range(128))
        assert (status, answer["size"]) == (201, 128 * MIB)
    assert gunicorn.peak() - before < 32
