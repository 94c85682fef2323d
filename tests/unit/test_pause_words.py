"""Pausing a node or the fleet, as the API and the command line have it."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from support.fake_api import FakeApi, Given
from support.office import Office

from cronkeeper.api.identity import Role
from cronkeeper.cli.main import main
from cronkeeper.common.store import audit
from cronkeeper.common.store.schema import job

Words = Callable[..., Result]
PAUSED = "2026-03-01T12:00:00.123456Z"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi) -> Words:
    environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token", "TZ": "UTC"}
    return lambda line: CliRunner().invoke(main, line.split(), env=environment)


def node(paused: str | None, fleet: str | None) -> Given:
    return Given(200, {"name": "web-1", "paused_at": paused, "fleet_paused_at": fleet})


def test_a_node_is_paused_and_resumed_and_who_did_so_is_in_the_audit_once(office: Office) -> None:
    office.add_node("alpha")
    for word in ("pause", "pause", "resume", "resume"):
        answer = office.call("POST", f"/nodes/alpha/{word}", Role.ADMIN)
        expected = PAUSED if word == "pause" else None
        assert (answer.status_code, (answer.json or {})["paused_at"]) == (200, expected)
        for shown in (
            (office.call("GET", "/nodes").json or [])[0],
            office.call("GET", "/nodes/alpha").json or {},
        ):
            assert (shown["paused_at"], shown["fleet_paused_at"]) == (expected, None)
    told = office.store.transaction(audit.listing)
    assert [(each.actor, each.action, each.detail) for each in told if each.action != "node.add"] == [
        ("admin", "node.pause", "alpha"),
        ("admin", "node.resume", "alpha"),
    ]


def test_the_fleet_is_paused_and_resumed_and_its_nodes_say_so(office: Office) -> None:
    office.add_node("alpha")
    assert office.call("GET", "/fleet", Role.USER).json == {"paused_at": None}
    for word in ("pause", "pause", "resume", "resume"):
        answer = office.call("POST", f"/fleet/{word}", Role.ADMIN)
        expected = PAUSED if word == "pause" else None
        assert (answer.status_code, answer.json) == (200, {"paused_at": expected})
        assert office.call("GET", "/fleet", Role.USER).json == {"paused_at": expected}
        (shown,) = office.call("GET", "/nodes").json or []
        assert (shown["paused_at"], shown["fleet_paused_at"]) == (None, expected)
    told = office.store.transaction(audit.listing)
    assert [each.action for each in told if each.action != "node.add"] == ["fleet.pause", "fleet.resume"]


def test_a_node_that_was_paused_by_itself_stays_so_when_the_fleet_is_resumed(office: Office) -> None:
    office.add_node("alpha")
    for path in ("/nodes/alpha/pause", "/fleet/pause", "/fleet/resume"):
        office.call("POST", path, Role.ADMIN)
    shown = office.call("GET", "/nodes/alpha").json or {}
    assert (shown["paused_at"], shown["fleet_paused_at"]) == (PAUSED, None)


def test_a_job_says_that_its_node_or_the_fleet_is_paused(office: Office) -> None:
    office.add_node("alpha")
    for _ in range(2):
        office.create()
    there = sa.update(job).where(job.c.id == 1).values(assigned_node="alpha")
    office.store.transaction(lambda connection: connection.execute(there))

    def said() -> list[str | None]:
        jobs = sorted(office.call("GET", "/jobs").json or [], key=lambda each: int(each["id"]))
        assert (office.call("GET", "/jobs/1").json or {})["placement"] == jobs[0]["placement"]
        return [each["placement"] for each in jobs]

    assert said() == [None, None]
    office.call("POST", "/nodes/alpha/pause", Role.ADMIN)
    assert said() == ["node alpha is paused", None]
    office.call("POST", "/fleet/pause", Role.ADMIN)
    assert said() == ["the whole fleet is paused", None]


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_only_admins_pause_and_only_nodes_that_there_are(office: Office, word: str) -> None:
    office.add_node("alpha")
    for path in (f"/nodes/alpha/{word}", f"/fleet/{word}"):
        assert office.call("POST", path, Role.USER).status_code == 403
    for name in ("beta", "%00"):
        assert office.call("POST", f"/nodes/{name}/{word}", Role.ADMIN).status_code == 404
    assert [each.action for each in office.store.transaction(audit.listing)] == ["node.add"]


def test_the_words_pause_and_resume_ask_for_it_and_say_so(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/nodes/web-1/pause", node(PAUSED, None))
    api.answer("POST", "/nodes/web-1/resume", node(None, None), node(None, PAUSED))
    api.answer("POST", "/fleet/pause", Given(200, {"paused_at": PAUSED}))
    api.answer("POST", "/fleet/resume", Given(200, {"paused_at": None}))
    said = [
        say(f"node {line}").stdout
        for line in ("pause web-1", "resume web-1", "resume web-1", "pause --all", "resume --all")
    ]
    assert said == [
        "node web-1 is paused; what runs goes on\n",
        "node web-1 is resumed\n",
        "node web-1 is resumed, and the whole fleet is still paused: cronkeeper node resume --all\n",
        "the fleet is paused; what runs goes on\n",
        "the fleet is resumed; nodes that were paused by themselves stay so\n",
    ]


@pytest.mark.parametrize("line", ["pause", "resume", "pause web-1 --all", "resume web-1 --all"])
def test_neither_a_node_nor_the_fleet_or_both_is_a_mistake(say: Words, line: str) -> None:
    result = say(f"node {line}")
    assert (result.exit_code, "either the NAME of a node or --all" in result.stderr) == (2, True)


def test_a_list_of_nodes_says_which_are_paused_also_by_an_older_api(say: Words, api: FakeApi) -> None:
    names = ("live", "jobs", "labels", "crond", "version", "added_at", "capacity")
    each = dict.fromkeys(names, 0) | {"labels": {}, "added_at": "2026-03-01T11:00:00Z", "drained_at": None}
    pauses = {"a": {}, "b": {"paused_at": PAUSED, "fleet_paused_at": None}, "c": {"fleet_paused_at": PAUSED}}
    api.answer("GET", "/nodes", Given(200, [each | {"name": name} | more for name, more in pauses.items()]))
    rows = say("node list").stdout.splitlines()
    assert rows[0].split()[-1] == "PAUSED"
    assert ["2026-03-01 12:00" in row for row in rows[1:4]] == [False, True, True]
