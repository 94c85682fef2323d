"""One id of a request is found wherever the request led to: audit, leader's log, worker's log."""

import logging
from collections.abc import Iterator

import pytest
from support.fleet import Fleet
from support.office import COMMAND, Office

from cronkeeper.common import log
from cronkeeper.common.coordination import paths
from cronkeeper.common.model import HandRun, decode
from cronkeeper.common.store import audit
from cronkeeper.manager import asked


class Kept(logging.Handler):
    """Keeps what is logged: the request's id, the logger, and the text of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str | None, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((log.request.get(), record.name, record.getMessage()))

    def of(self, request_id: str) -> list[tuple[str, str]]:
        return [(logger, text) for number, logger, text in self.lines if number == request_id]


@pytest.fixture
def kept(caplog: pytest.LogCaptureFixture) -> Iterator[Kept]:
    caplog.set_level(logging.INFO)
    handler = Kept()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_the_audit_has_the_id_of_the_request(office: Office) -> None:
    for number, (method, path, body) in enumerate(
        [
            ("POST", "/jobs", COMMAND),
            ("PATCH", "/jobs/1", {"name": "new"}),
            ("POST", "/jobs/1/runs", None),
            ("POST", "/jobs/1/duplicate", None),
            ("DELETE", "/jobs/1", None),
        ]
    ):
        office.call(method, path, json=body, headers={"X-Request-Id": f"r-{number}"})

    entries = office.store.transaction(audit.listing)
    assert [(entry.action, entry.request_id) for entry in entries] == [
        ("create", "r-0"),
        ("edit", "r-1"),
        ("run", "r-2"),
        ("create", "r-3"),
        ("remove", "r-4"),
    ]


def test_the_leader_names_the_request_when_a_job_is_on_its_node(fleet: Fleet, kept: Kept) -> None:
    with log.about("r-1"):
        job = fleet.submit()
    fleet.go(2)
    assert kept.of("r-1") == [("cronkeeper.manager.asked", f"job {job.id}, rev 1, is on node alpha")]

    with log.about("r-2"):
        fleet.remove(job)
    fleet.go(2)
    assert kept.of("r-2") == [
        ("cronkeeper.manager.asked", f"job {job.id} is on no node any more: it has ended")
    ]


def test_leader_and_worker_name_the_request_for_each_of_several_runs(fleet: Fleet, kept: Kept) -> None:
    job = fleet.submit()
    fleet.go(2)
    with log.about("r-1"):
        first = fleet.request(job)
    with log.about("r-2"):
        second = fleet.request(job)
    fleet.go(2)

    for request_id, run in (("r-1", first), ("r-2", second)):
        assert kept.of(request_id) == [
            ("cronkeeper.manager.dispatch", f"run {run.id} is in the inbox of node alpha"),
            ("cronkeeper.worker.claiming", f"run {run.id}, asked for by hand, is taken from the inbox"),
        ]


def test_what_an_older_or_a_newer_manager_writes_is_no_hindrance() -> None:
    assert asked.asked({1: b"3", 2: b"\xff", 3: b"", 4: b"4 r run more"}) == asked.Asked({}, {})
    assert decode(b'{"run_id": "1.1.hand-a.1", "job_id": 1, "copy": 1}', HandRun).request_id is None


def test_a_change_tells_of_several_requests_and_never_of_endlessly_many(office: Office) -> None:
    office.create()
    for number in range(30):
        headers = {"X-Request-Id": f"r-{number}"}
        office.call("PATCH", "/jobs/1", json={"name": f"n{number}"}, headers=headers)

    data = office.tree.get(paths.change(1)).data
    assert len(data.splitlines()) == asked.MOST_LINES
    assert asked.asked({1: data}).jobs == {1: "r-29"}
