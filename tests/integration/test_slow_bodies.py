"""Clients that send slowly, or not to the end: nothing is stored, and nobody else waits for them.

Those who read slowly get all the same.
"""

import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.office import COMMAND, Office
from support.samples import NOW, report
from support.servers import SERVERS, Site, gunicorn
from support.wait import wait_until

from cronkeeper.common.artifacts.store import OutputName
from cronkeeper.common.model import Output, RunState
from cronkeeper.manager import reports

BODY = json.dumps(COMMAND).encode()
HEADER = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}"
THREADS = 4
LARGE = b"a line\n" * (4 * 1024 * 1024)
"""More than the buffers of a connection hold."""


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


def written(site: Site, content: bytes) -> str:
    """The id of a run whose output this is."""
    office = Office(site.folder)
    office.create()
    ended = report(
        RunState.SUCCEEDED, copy=1, stdout=Output(size=len(content), data=b"", stored=len(content))
    )
    office.desk.artifacts.put_output(OutputName(ended.run_id, "stdout"), io.BytesIO(content), len(content))
    assert reports.accept(office.desk, ended.node, [ended], NOW) == [ended.run_id]
    office.close()
    return ended.run_id


def test_whoever_reads_a_large_output_in_a_pager_may_pause(site: Site) -> None:
    with site.send("Connection: close", b"", f"GET /runs/{written(site, LARGE)}/stdout") as link:
        answer = bytearray(link.recv(1000))
        time.sleep(3.0)  # longer than a body may pause there
        while piece := link.recv(1024 * 1024):
            answer += piece
    assert len(answer.partition(b"\r\n\r\n")[2]) == len(LARGE)
