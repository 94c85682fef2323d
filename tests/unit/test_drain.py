"""Draining a node, as the API and the command line have it."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from support.fake_api import FakeApi, Given
from support.office import Office
from support.samples import NOW, report

from cronkeeper.api.identity import Role
from cronkeeper.cli import node_drain
from cronkeeper.cli.main import main
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import Claim, RunState, StartedBy, Unfinished, encode
from cronkeeper.common.store import audit

Words = Callable[..., Result]
DRAINED = "2026-03-01T12:00:00.123456Z"
RUN = "1.1.20260301T120000Z.1"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setattr(node_drain, "POLL", 0.01)
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi) -> Words:
    environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token"}
    return lambda line: CliRunner().invoke(main, line.split(), env=environment)


def claim(office: Office, job: int, *unfinished: Unfinished) -> None:
    """A job on alpha."""
    path = f"{paths.claims('alpha')}/{job}.1.1-1"
    office.tree.ensure(paths.claims("alpha"))
    office.tree.commit([Create(path, encode(Claim(unfinished=unfinished)))])


def going_on(node: str) -> Unfinished:
    return Unfinished(
        run_id=RUN, tick=NOW, attempt=1, node=node, boot_id="boot", started_by=StartedBy.CLOCK, outcome=None
    )


def left(job: int, runs: int, waiting: int, drained: str | None = DRAINED) -> Given:
    node = {"name": "web-1", "jobs": job, "runs": runs, "waiting": waiting, "drained_at": drained}
    return Given(200, node)


def test_a_node_is_drained_and_undrained_and_who_did_so_is_in_the_audit_once(office: Office) -> None:
    office.add_node("alpha")
    for word in ("drain", "drain", "undrain", "undrain"):
        answer = office.call("POST", f"/nodes/alpha/{word}", Role.ADMIN)
        assert answer.status_code == 200
        assert (answer.json or {})["drained_at"] == (DRAINED if word == "drain" else None)
        assert [node["drained_at"] for node in office.call("GET", "/nodes").json or []] == [
            (answer.json or {})["drained_at"]
        ]
    told = [each for each in office.store.transaction(audit.listing) if "drain" in each.action]
    assert [(each.actor, each.action, each.detail) for each in told] == [
        ("admin", "node.drain", "alpha"),
        ("admin", "node.undrain", "alpha"),
    ]


def test_a_drained_node_tells_what_is_left_there(office: Office) -> None:
    key = office.add_node("alpha")
    office.create()
    claim(office, 1, going_on("alpha"))
    claim(office, 2)
    claim(office, 3, going_on("beta"))
    assert office.report("alpha", key, [report(RunState.RUNNING)]).status_code == 200
    shown = office.call("GET", "/nodes/alpha").json or {}
    assert (shown["jobs"], shown["runs"], shown["waiting"]) == (3, 1, None)
    shown = office.call("POST", "/nodes/alpha/drain", Role.ADMIN).json or {}
    assert (shown["jobs"], shown["runs"], shown["waiting"]) == (3, 1, 1)
    office.tree.disconnect()
    shown = office.call("GET", "/nodes/alpha").json or {}
    assert (shown["jobs"], shown["runs"], shown["waiting"]) == (None, 1, None)


@pytest.mark.parametrize("word", ["drain", "undrain"])
def test_only_admins_drain_nodes_and_only_those_that_there_are(office: Office, word: str) -> None:
    office.add_node("alpha")
    assert office.call("POST", f"/nodes/alpha/{word}", Role.USER).status_code == 403
    for name in ("beta", "%00"):
        assert office.call("POST", f"/nodes/{name}/{word}", Role.ADMIN).status_code == 404
    assert [each for each in office.store.transaction(audit.listing) if "drain" in each.action] == []


def test_a_node_that_is_forgotten_and_added_again_is_not_drained(office: Office) -> None:
    office.add_node("alpha")
    office.call("POST", "/nodes/alpha/drain", Role.ADMIN)
    office.call("DELETE", "/nodes/alpha", Role.ADMIN)
    office.add_node("alpha")
    assert (office.call("GET", "/nodes/alpha").json or {})["drained_at"] is None


def test_the_word_drain_waits_until_nothing_is_left_and_says_what_is(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/drain", left(3, 2, 1))
    api.answer("GET", "/nodes/web-1", left(3, 2, 1), left(1, 1, 1), left(0, 1, 0), left(0, 0, 0))
    result = say("node drain web-1 --wait 30s")
    assert (result.exit_code, result.stdout) == (0, "node web-1 is drained, and nothing is left there\n")
    begin = "node web-1 is drained; left there are jobs:"
    assert result.stderr.splitlines() == [
        f"{begin} 3, of which 1 wait for a run to end; runs: 2",
        f"{begin} 1, of which 1 wait for a run to end; runs: 1",
        f"{begin} 0; runs: 1",
    ]


def test_without_wait_it_asks_once_and_with_it_the_time_may_be_over(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/drain", left(3, 0, 0), left(3, 0, 0))
    api.answer("GET", "/nodes/web-1", *(left(3, 0, 0) for _ in range(1000)))
    result = say("node drain web-1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "node web-1 is drained; left there are jobs: 3; runs: 0\n"
    assert say("node drain web-1 --wait 0.1s").exit_code == 6


def test_a_wait_ends_when_somebody_undrains_the_node(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/drain", left(3, 0, 0))
    api.answer("GET", "/nodes/web-1", left(3, 0, 0, drained=None))
    result = say("node drain web-1 --wait 30s")
    assert (result.exit_code, result.stdout) == (6, "node web-1 is not drained any more\n")


def test_a_wait_outlives_an_api_that_is_away_for_a_moment(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/drain", left(1, 0, 0))
    api.answer("GET", "/nodes/web-1", Given(503, {"detail": "SQL does not answer"}), left(0, 0, 0))
    result = say("node drain web-1 --wait 30s")
    assert result.exit_code == 0, result.stderr


def test_the_word_undrain_asks_for_it_and_says_so(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/undrain", left(0, 0, 0, drained=None))
    result = say("node undrain web-1")
    assert (result.exit_code, result.stdout) == (0, "node web-1 may have jobs again\n")
