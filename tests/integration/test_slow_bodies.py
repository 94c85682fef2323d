"""Clients that send slowly, or not to the end: nothing is stored, and nobody else waits for them."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.office import COMMAND
from support.servers import SERVERS, Site, gunicorn
from support.wait import wait_until

BODY = json.dumps(COMMAND).encode()
HEADER = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}"
THREADS = 4


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with SERVERS[request.param](tmp_path) as made:
        yield made


def half_sent(site: Site) -> socket.socket:
    return site.send(HEADER, BODY[:-5], "POST /jobs")


def jobs(site: Site) -> list[str]:
    status, answer = site.ask("GET", "/jobs")
    assert status == 200
    return [job["command"] for job in answer]


def test_a_job_that_is_sent_byte_by_byte_is_created(site: Site) -> None:
    with site.send(HEADER, b"", "POST /jobs") as link:
        for place in range(len(BODY)):
            link.sendall(BODY[place : place + 1])
        assert b" 201 " in link.recv(100)
    assert jobs(site) == [COMMAND["command"]]


def test_a_job_that_is_not_sent_to_its_end_is_not_created(site: Site) -> None:
    with half_sent(site) as link:
        link.shutdown(socket.SHUT_WR)
        answered = link.recv(100)
    assert answered == b"" or b" 400 " in answered
    assert jobs(site) == []


def test_whoever_sends_half_a_job_keeps_nobody_else_waiting_for_long(site: Site) -> None:
    links = [half_sent(site) for _ in range(2 * THREADS)]
    assert jobs(site) == []
    for link in links:
        link.close()
    assert site.ask("POST", "/jobs", BODY, **{"Content-Type": "application/json"})[0] == 201


def test_gunicorn_gives_up_a_body_that_pauses(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as site, half_sent(site) as link:
        answer = bytearray()
        wait_until(lambda: not answer.extend(link.recv(1000)) and b"\r\n\r\n" in answer)
        assert b" 400 " in answer
        assert jobs(site) == []
