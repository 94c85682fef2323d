"""The API comes back after an outage, and all nodes at once: each report counts once, and people get through."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.office import COMMAND, Office
from support.proxy import Proxy
from support.samples import NOW, TICK, plan, report, spec
from support.servers import Site, gunicorn
from support.wait import wait_until

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Output, Report, RunState, replace, tick_run_id
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store.schema import run, run_output
from cronkeeper.worker.pace import NotTaken
from cronkeeper.worker.reporter import HttpSend, Reporter
from cronkeeper.worker.run_folder import RunFolder

MIB = 1024 * 1024
NODES = 10
OF_EACH = 500
WROTE = b"a line of what it wrote\n" * 40
PATIENCE = 5.0
"""Seconds that a person waits for a list, on a machine of two cores that is busy otherwise."""


@dataclass
class Node:
    """A node with its key, and the ends of its runs."""

    name: str
    number: int
    url: str
    folder: Path
    key: NodeKey
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = HttpSend(self.url, self.name, self.key)
        self.reporter = Reporter(self.send, lambda: None)
        self.wrote = RunFolder.make(self.folder, plan(spec=spec()))
        (self.wrote.path / "stdout").write_bytes(WROTE)

    def send(self, batch: Sequence[Report]) -> Sequence[str]:
        try:
            return self._http(batch)
        except Unavailable as error:
            self.complaints.append(str(error))
            raise

    def end(self, number: int) -> None:
        tick = TICK + timedelta(minutes=number * NODES + self.number)
        ended = report(
            RunState.SUCCEEDED,
            run_id=tick_run_id(1, 1, tick, 1),
            copy=1,
            tick=tick,
            node=self.name,
            ended_at=NOW + timedelta(minutes=number),
            stdout=Output(size=len(WROTE), data=b""),
        )
        self.reporter.submit(ended, self.wrote)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with gunicorn(tmp_path) as made:
        yield made


@pytest.fixture
def office(site: Site) -> Iterator[Office]:
    """Another front desk on the same database."""
    office = Office(site.folder)
    yield office
    office.close()


def test_what_waited_on_all_nodes_is_taken_in_once_and_people_are_answered_meanwhile(
    site: Site, office: Office, tmp_path: Path
) -> None:
    office.create()
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy("127.0.0.1", site.port))
        proxy.cut()
        nodes = [made(office, f"n{number}", number, proxy, tmp_path) for number in range(NODES)]
        for node in nodes:
            for number in range(OF_EACH):
                node.end(number)
            node.reporter.start()
            stack.callback(node.reporter.stop)
        wait_until(lambda: all(len(node.complaints) > 1 for node in nodes))
        began = time.monotonic()
        proxy.heal()
        waited = people(site, nodes)
        print(f"{NODES * OF_EACH / (time.monotonic() - began):.0f} reports a second, lists in {waited}")
    assert max(waited) < PATIENCE
    said = [complaint for node in nodes for complaint in node.complaints]
    assert not [complaint for complaint in said if "with 5" in complaint and "with 503" not in complaint]
    assert rows(office, run) == NODES * OF_EACH
    assert rows(office, run_output) == 2 * NODES * OF_EACH


def test_where_all_places_are_taken_a_node_is_told_at_once_when_to_try_again(
    site: Site, office: Office, tmp_path: Path
) -> None:
    office.create()
    node = Node("n1", 1, f"http://127.0.0.1:{site.port}", tmp_path, office.add_node("n1"))
    one = report(RunState.SUCCEEDED, copy=1, node="n1", run_id=tick_run_id(1, 1, TICK, 1))
    large = replace(one, stdout=Output(size=MIB, data=bytes(MIB)))
    assert node.send([one]) == [one.run_id]
    with ExitStack() as stack:

        def one_more() -> NotTaken | None:
            """Another batch that is not sent to its end; where no place is free it is refused."""
            stack.enter_context(site.send("Content-Length: 100", b"[", "POST /reports"))
            return refusal(node, one)

        busy = wait_until(one_more)
        assert (busy.retry_after, busy.refused, busy.too_much) == (1.0, False, False)
        assert '"status": 503' in str(busy)
        refusal(node, large)  # whatever becomes of it: the body is not read before it is refused
        assert site.ask("GET", "/jobs")[0] == 200
    assert wait_until(lambda: refusal(node, large) is None)


def refusal(node: Node, one: Report) -> NotTaken | None:
    """What the API says where it does not take the report in."""
    try:
        node.send([one])
    except NotTaken as error:
        return error
    return None


def made(office: Office, name: str, number: int, proxy: Proxy, folder: Path) -> Node:
    home = folder / f"home of {name}"
    home.mkdir()
    return Node(name, number, f"http://127.0.0.1:{proxy.port}", home, office.add_node(name))


def people(site: Site, nodes: Sequence[Node]) -> list[float]:
    """Lists jobs until all reports are taken in: how many seconds each took."""
    waited = []

    def look() -> bool:
        began = time.monotonic()
        status, jobs = site.ask("GET", "/jobs")
        waited.append(round(time.monotonic() - began, 3))
        assert status == 200
        assert [job["command"] for job in jobs] == [COMMAND["command"]]
        return all(node.reporter.waiting() == 0 for node in nodes)

    wait_until(look, 120)
    return waited


def rows(office: Office, table: sa.Table) -> int:
    counted = sa.select(sa.func.count()).select_from(table)
    return office.store.transaction(lambda connection: connection.scalar(counted)) or 0
