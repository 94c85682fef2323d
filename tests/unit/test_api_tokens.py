"""People's tokens: made, known, good no more; and what of a job is shown to whom."""

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.office import COMMAND, Office, problem
from support.samples import NOW
from werkzeug.test import TestResponse

from cronkeeper.api import identity
from cronkeeper.api.identity import Actor, Identity, Role
from cronkeeper.common.errors import Forbidden, Unauthorized, Unavailable
from cronkeeper.common.model import Job
from cronkeeper.common.store import audit
from cronkeeper.common.store.tokens import Token
from cronkeeper.manager import jobs, runs
from cronkeeper.manager.runs import Wish

CI = {"name": "ci", "role": "user"}
SECRET = "ck_" + "x" * 43


def make(office: Office, **changes: Any) -> dict[str, Any]:
    answer = office.call("POST", "/tokens", Role.ADMIN, json=CI | changes)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json or {}
    return made


def ask(office: Office, token: str, method: str = "GET", path: str = "/jobs", **options: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
    return office.call(method, path, None, headers=headers, **options)


def test_a_token_is_shown_once_and_listed_without_it(office: Office) -> None:
    answer = office.call("POST", "/tokens", Role.ADMIN, json=CI | {"expires_in": 3600})

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json
    assert made is not None
    token = made.pop("token")
    assert token.startswith("ck_")
    assert len(token) == len(SECRET)
    assert made == {
        "id": "1",
        "name": "ci",
        "role": "user",
        "created_by": "admin",
        "created_at": "2026-03-01T12:00:00.123456Z",
        "expires_at": "2026-03-01T13:00:00.123456Z",
        "revoked_at": None,
    }
    assert office.call("GET", "/tokens", Role.ADMIN).json == [made]
    assert make(office, name="other")["token"] != token


def test_what_is_done_with_a_token_stands_below_its_name(office: Office) -> None:
    one, two = make(office)["token"], make(office, name="deploy", role="admin")["token"]
    key = {"Idempotency-Key": "k"}
    first, again, other = (
        ask(office, token, "POST", "/jobs", json=COMMAND, headers=key) for token in (one, one, two)
    )

    assert [each.json["created_by"] for each in (first, again, other)] == ["ci", "ci", "deploy"]
    assert [each.json["id"] for each in (first, again, other)] == ["1", "1", "2"]
    run = ask(office, one, "POST", "/jobs/1/runs").json
    assert run is not None
    assert run["requested_by"] == "ci"
    assert ask(office, one, "POST", "/jobs", json=COMMAND | {"run_as": "root"}).status_code == 403
    assert ask(office, two, "POST", "/jobs", json=COMMAND | {"run_as": "root"}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/tokens"), ("POST", "/tokens"), ("DELETE", "/tokens/1"), ("DELETE", "/tokens/x")],
)
def test_tokens_are_for_admins_whatever_else_is_wrong(empty_office: Office, method: str, path: str) -> None:
    answer = empty_office.call(method, path, Role.USER, data=b"{")
    assert answer.status_code == 403
    assert "for admins only" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ...}, "name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "ci "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "admin"}, "name"),
        ({"name": "User"}, "name"),
        ({"role": ...}, "role"),
        ({"role": "root"}, "role"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 1e9}, "expires_in"),
        ({"expires_in": "30d"}, "expires_in"),
        ({"token": SECRET}, "token"),
    ],
)
def test_a_wrong_token_is_not_made(empty_office: Office, changes: dict[str, Any], field: str) -> None:
    body = {name: value for name, value in (CI | changes).items() if value is not ...}
    answer = empty_office.call("POST", "/tokens", Role.ADMIN, json=body)

    assert answer.status_code == 422
    assert list(problem(answer)["errors"]) == [field]
    assert empty_office.call("GET", "/tokens", Role.ADMIN).json == []


def test_a_name_is_taken_until_its_token_is_good_no_more(office: Office) -> None:
    make(office, expires_in=60)
    answer = office.call("POST", "/tokens", Role.ADMIN, json=CI)
    assert answer.status_code == 409
    assert "token 1 has the name ci" in problem(answer)["detail"]

    office.clock.now += timedelta(seconds=60)
    assert make(office)["id"] == "2"
    assert office.call("DELETE", "/tokens/2", Role.ADMIN).status_code == 204
    assert make(office)["id"] == "3"


def test_a_revoked_token_lets_nobody_in_after_a_few_seconds(office: Office) -> None:
    token = make(office)["token"]
    assert ask(office, token).status_code == 200
    for _ in range(2):
        assert office.call("DELETE", "/tokens/1", Role.ADMIN).status_code == 204

    office.clock.now += identity.REMEMBERED_FOR
    assert ask(office, token).status_code == 401
    (shown,) = office.call("GET", "/tokens", Role.ADMIN).json or []
    assert shown["revoked_at"] == "2026-03-01T12:00:00.123456Z"


def test_a_token_lets_nobody_in_from_the_moment_it_expires(office: Office) -> None:
    token = make(office, expires_in=2)["token"]
    assert ask(office, token).status_code == 200
    office.clock.now += timedelta(seconds=2)
    assert ask(office, token).status_code == 401


def test_there_is_no_such_token_to_revoke(empty_office: Office) -> None:
    for token_id in ("7", "x", "0"):
        answer = empty_office.call("DELETE", f"/tokens/{token_id}", Role.ADMIN)
        assert answer.status_code == 404
        assert "there is no token" in problem(answer)["detail"]


def test_where_sql_is_away_the_configured_tokens_are_known_and_of_others_it_is_said(office: Office) -> None:
    token = make(office)["token"]
    office.store.troubles.append(Unavailable("the database does not answer"))
    answer = ask(office, token)
    assert answer.status_code == 503
    assert "the database does not answer" in problem(answer)["detail"]

    office.store.troubles.append(Unavailable("the database does not answer"))
    assert office.call("POST", "/nope").status_code == 404
    assert ask(office, "no token of ours").status_code == 401


def test_sql_is_asked_once_in_a_while_and_never_for_configured_tokens(office: Office) -> None:
    token = make(office)["token"]

    def asked(token: str) -> int:
        before = office.store.transactions
        assert ask(office, token, path="/openapi").status_code in (401, 404)
        ask(office, token, "OPTIONS")
        return office.store.transactions - before

    assert [asked(token), asked(token)] == [1, 0]
    office.clock.now += identity.REMEMBERED_FOR
    assert [asked(token), asked(token)] == [1, 0]
    assert [asked(SECRET), asked(SECRET)] == [1, 1]
    assert [asked("nobody's"), asked("the admin's token")] == [0, 0]


def test_the_memory_for_tokens_is_bounded_and_no_clock_set_back_makes_it_longer() -> None:
    asked: list[str] = []

    def find(token: str, _now: datetime) -> Token:
        asked.append(token)
        fields = {"created_by": "ann", "created_at": NOW, "expires_at": None, "revoked_at": None}
        return Token(id=1, name=token, role=Role.USER, **fields)

    known = Identity({Role.ADMIN: "a"}, find)
    for number in [*range(identity.MOST_REMEMBERED), 0]:
        assert known.whoever(f"Bearer {number}", NOW) == Actor(str(number), Role.USER)
    assert len(asked) == identity.MOST_REMEMBERED
    known.whoever("Bearer 0", NOW - timedelta(hours=1))
    known.whoever("Bearer new", NOW)
    known.whoever("Bearer 1", NOW)
    assert asked[identity.MOST_REMEMBERED :] == ["0", "new", "1"]


def test_a_token_without_its_scheme_is_not_repeated() -> None:
    with pytest.raises(Unauthorized) as refused:
        Identity({Role.ADMIN: "a"}, lambda _token, _now: None).whoever(SECRET, NOW)
    assert SECRET not in str(refused.value)


def test_audit_and_log_name_a_token_and_never_tell_it(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = make(office, expires_in=3600)["token"]
        ask(office, token)
        for _ in range(2):
            office.call("DELETE", "/tokens/1", Role.ADMIN)
    office.clock.now += identity.REMEMBERED_FOR
    ask(office, token)

    entries = office.store.transaction(audit.listing)
    assert [(each.actor, each.action, each.job_id, each.detail) for each in entries] == [
        ("admin", "token.create", None, "token 1, ci: user, until 2026-03-01T13:00:00Z"),
        ("admin", "token.revoke", None, "token 1, ci"),
    ]
    assert "token 1, ci, of role user made by admin" in caplog.text
    assert token[3:13] not in caplog.text + str(entries)


def test_what_may_be_secret_in_what_runs_as_somebody_is_shown_to_admins_only(office: Office) -> None:
    secret = {"env": {"PASSWORD": "x", "LEVEL": "9"}, "stdin": "y"}
    office.create(Role.ADMIN, run_as="backup", **secret)
    office.create(Role.ADMIN, run_as="backup")
    office.create(Role.ADMIN, **secret)

    def seen(role: Role) -> list[Any]:
        listed = office.call("GET", "/jobs", role).json or []
        assert [office.call("GET", f"/jobs/{each['id']}", role).json for each in listed] == listed
        return [(each["env"], each["stdin"], each["hidden"]) for each in listed]

    whole, nothing = (secret["env"], "y", []), ({}, None, [])
    assert seen(Role.ADMIN) == [whole, nothing, whole]
    masked = ({"PASSWORD": None, "LEVEL": None}, None, ["env", "stdin"])
    assert seen(Role.USER) == [masked, nothing, whole]


def test_a_run_as_that_comes_between_look_and_deed_is_heeded(office: Office) -> None:
    office.create(Role.ADMIN, run_as="backup")

    def refuse(job: Job) -> None:
        if job.run_as is not None:
            raise Forbidden("for admins only")

    with pytest.raises(Forbidden):
        jobs.remove(office.desk, 1, "ann", NOW, check=refuse)
    with pytest.raises(Forbidden):
        runs.request(office.desk, Wish(job_id=1, actor="ann", now=NOW), check=refuse)
    assert office.jobs()[0].ended_at is None
    assert office.call("GET", "/jobs/1/runs").json == []
