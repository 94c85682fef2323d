"""Taking a node out of the fleet, as the API and the command line have it."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from support.fake_api import FakeApi, Given
from support.office import Office, problem
from support.samples import report

from cronkeeper.api.identity import Role
from cronkeeper.cli.main import main
from cronkeeper.common.coordination import paths
from cronkeeper.common.model import RunState
from cronkeeper.common.store import audit

Words = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi) -> Words:
    environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token"}
    return lambda line: CliRunner().invoke(main, line.split(), env=environment)


def test_a_node_that_is_not_live_is_forgotten_and_its_reports_are_refused(office: Office) -> None:
    key = office.add_node("alpha")
    answer = office.call("DELETE", "/nodes/alpha", Role.ADMIN)
    assert (answer.status_code, answer.data) == (204, b"")
    assert office.call("GET", "/nodes").json == []
    refused = office.report("alpha", key, [report(RunState.RUNNING)])
    assert refused.status_code == 401
    assert problem(refused)["detail"] == (
        "node 'alpha' was never added here, or was forgotten: add it with `cronkeeper node add`"
    )
    told = office.store.transaction(audit.listing)[-1]
    assert (told.actor, told.action, told.detail) == ("admin", "node.forget", "alpha")


def test_forgetting_it_once_more_says_that_there_is_no_such_node(office: Office) -> None:
    office.add_node("alpha")
    office.call("DELETE", "/nodes/alpha", Role.ADMIN)
    for name in ("alpha", "beta", "%00"):
        answer = office.call("DELETE", f"/nodes/{name}", Role.ADMIN)
        assert answer.status_code == 404
        assert "no node" in problem(answer)["detail"]
    deeds = [each.action for each in office.store.transaction(audit.listing)]
    assert deeds.count("node.forget") == 1


def test_a_live_node_is_not_forgotten(office: Office) -> None:
    office.add_node("alpha")
    office.live("alpha", jobs=1)
    answer = office.call("DELETE", "/nodes/alpha", Role.ADMIN)
    assert answer.status_code == 409
    assert "node alpha is live: stop its worker first" in problem(answer)["detail"]
    assert len(office.call("GET", "/nodes").json or []) == 1


def test_a_node_is_not_forgotten_while_nobody_can_tell_whether_it_is_live(office: Office) -> None:
    office.add_node("alpha")
    office.tree.disconnect()
    assert office.call("DELETE", "/nodes/alpha", Role.ADMIN).status_code == 503
    office.tree.reconnect()
    assert len(office.call("GET", "/nodes").json or []) == 1


def test_only_admins_forget_nodes(office: Office) -> None:
    office.add_node("alpha")
    for name in ("alpha", "beta"):
        answer = office.call("DELETE", f"/nodes/{name}")
        assert answer.status_code == 403
        assert "forgetting a node" in problem(answer)["detail"]


def test_a_forgotten_name_can_be_given_to_another_key(office: Office) -> None:
    office.add_node("alpha")
    office.call("DELETE", "/nodes/alpha", Role.ADMIN)
    office.add_node("alpha")
    assert office.tree.children(paths.LIVE) == []


def test_the_word_forget_asks_for_it_and_says_so(say: Words, api: FakeApi) -> None:
    api.answer("DELETE", "/nodes/web-1", Given(204, None))
    result = say("node forget web-1")
    assert (result.exit_code, result.stdout) == (0, "node web-1 is forgotten; its jobs go where they may\n")
    assert (api.asked[-1].method, api.asked[-1].path) == ("DELETE", "/nodes/web-1")


def test_the_list_of_nodes_says_how_many_jobs_each_takes(say: Words, api: FakeApi) -> None:
    node = {
        "live": True,
        "jobs": 3,
        "labels": {},
        "crond": True,
        "version": "1",
        "added_at": "2026-03-01T12:00:00Z",
        "drained_at": None,
    }
    takes = {"alpha": 0, "beta": 40, "gamma": None}
    api.answer("GET", "/nodes", Given(200, [node | {"name": n, "capacity": c} for n, c in takes.items()]))
    rows = say("node list").stdout.splitlines()
    assert "CAPACITY" in rows[0]
    assert ["no limit" in rows[1], " 40 " in rows[2], " - " in rows[3]] == [True] * 3


def test_the_list_of_nodes_names_what_is_wrong(say: Words, api: FakeApi) -> None:
    names = ("live", "jobs", "labels", "crond", "version", "added_at", "capacity")
    node = dict.fromkeys(names, 0) | {"labels": {}, "added_at": "2026-03-01T12:00:00Z", "drained_at": None}
    wrong = [{"name": name, "reason": "", "since": ""} for name in ("crond_hung", "clock_off")]
    nodes = [node | {"name": "alpha", "conditions": wrong}, node | {"name": "beta", "conditions": []}]
    api.answer("GET", "/nodes", Given(200, nodes))
    rows = say("node list").stdout.splitlines()
    assert ["crond_hung, clock_off" in row for row in rows] == [False, True, False]
