"""Who may do what, and how errors are told."""

import logging
from datetime import datetime

import pytest
from support.office import Office, problem
from support.samples import NOW

from cronkeeper.api.identity import Actor, Identity, Role
from cronkeeper.common.errors import Invalid, Unauthorized
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store import audit

ENDPOINTS = [
    ("POST", "/jobs"),
    ("GET", "/jobs"),
    ("GET", "/jobs/1"),
    ("DELETE", "/jobs/1"),
    ("POST", "/jobs/1/runs"),
    ("GET", "/jobs/1/runs"),
    ("GET", "/jobs/1/ledger"),
    ("GET", "/jobs/1/copies"),
    ("GET", "/runs/1"),
    ("GET", "/runs/1/stdout"),
    ("GET", "/runs/1/stderr"),
    ("GET", "/nodes"),
    ("POST", "/nodes"),
    ("PATCH", "/jobs/1"),
    ("PUT", "/jobs/1"),
    ("POST", "/jobs/1/pause"),
    ("POST", "/jobs/1/resume"),
    ("POST", "/jobs/1/duplicate"),
    ("GET", "/nodes/<name>"),
    ("DELETE", "/nodes/<name>"),
    ("POST", "/nodes/<name>/reload"),
    ("POST", "/nodes/<name>/drain"),
    ("POST", "/nodes/<name>/undrain"),
    ("POST", "/nodes/<name>/pause"),
    ("POST", "/nodes/<name>/resume"),
    ("GET", "/fleet"),
    ("POST", "/fleet/pause"),
    ("POST", "/fleet/resume"),
    ("PUT", "/artifacts"),
    ("GET", "/metrics"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/<token_id>"),
    ("OPTIONS", "/jobs"),
    ("HEAD", "/jobs"),
]


DOCS = {"/docs/", "/docs/<path:path>"}


def test_every_endpoint_that_is_not_named_as_open_needs_a_token(empty_office: Office) -> None:
    known = {
        (method, rule.rule) for rule in empty_office.app.url_map.iter_rules() for method in rule.methods or ()
    }
    tried = {
        (method, path.replace("/1", "/<job_id>" if path.startswith("/jobs") else "/<run_id>", 1))
        for method, path in ENDPOINTS
    }
    opened = {"/health", "/reports", "/openapi.json", *DOCS}
    assert {one for one in known if one[1] not in opened and one[0] not in ("OPTIONS", "HEAD")} <= tried

    for method, path in ENDPOINTS:
        answer = empty_office.call(method, path, None, json={"run_as": "root"})
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        if method != "HEAD":
            assert "Authorization: Bearer <token>" in problem(answer)["detail"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        "",
        "the user's token",
        "Basic dXNlcjp0b2tlbg==",
        "Bearer \xff\xfe",
    ],
)
def test_a_wrong_token_is_no_token(empty_office: Office, header: str) -> None:
    answer = empty_office.call("GET", "/jobs", None, headers={"Authorization": header})

    assert answer.status_code == 401
    assert "the user's token" not in answer.text.replace(repr(header), "")


def nobody_else(_token: str, _now: datetime) -> None:
    """Knows no tokens."""


def test_tokens_tell_roles_apart() -> None:
    identity = Identity({Role.ADMIN: "a", Role.USER: "b"}, nobody_else)

    assert identity.whoever("Bearer a", NOW) == Actor("admin", Role.ADMIN)
    assert identity.whoever("bearer  b ", NOW) == Actor("user", Role.USER)
    with pytest.raises(Unauthorized):
        identity.whoever("Bearer ab", NOW)


@pytest.mark.parametrize("tokens", [("", "b"), ("a", ""), ("a", "a")])
def test_tokens_that_open_too_much_are_refused(tokens: tuple[str, str]) -> None:
    with pytest.raises(Invalid):
        Identity(dict(zip((Role.ADMIN, Role.USER), tokens, strict=True)), nobody_else)


def test_the_openapi_document_says_what_there_is(empty_office: Office) -> None:
    answer = empty_office.call("GET", "/openapi.json", None)

    assert answer.status_code == 200
    document = answer.json
    assert document is not None
    assert document["info"] == {"title": "cronkeeper", "version": "1.2.3"}
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    rules = {rule.rule for rule in empty_office.app.url_map.iter_rules()} - {"/openapi.json", *DOCS}
    assert {path.replace("{", "<").replace("}", ">") for path in document["paths"]} == rules
    assert document["paths"]["/health"]["get"]["security"] == []
    problems = document["components"]["responses"]["DEFAULT_ERROR"]["content"]
    assert problems["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_there_is_nothing_at_unknown_paths(empty_office: Office) -> None:
    for path in ("/", "/nope", "/jobs/", "/jobs//1", "/jobs/1/2", "/runs/1/stdin"):
        answer = empty_office.call("GET", path, None)
        assert answer.status_code == 404, path
        assert problem(answer)["detail"] == f"there is nothing at {path}"


def test_a_method_that_is_not_possible_is_told_with_those_that_are(empty_office: Office) -> None:
    answer = empty_office.call("PUT", "/jobs", json={})

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert "GET, HEAD, OPTIONS, POST" in problem(answer)["detail"]


def test_a_bug_is_told_by_a_reference_alone(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.store.troubles.append(KeyError("a detail that is nobody's business"))
    answer = office.call("GET", "/jobs")

    assert answer.status_code == 500
    detail = problem(answer)["detail"]
    assert "nobody's business" not in answer.text
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert detail.split()[-1] in record.getMessage()
    assert record.exc_info is not None


def test_health_needs_no_token_and_names_every_part(office: Office) -> None:
    answer = office.call("GET", "/health", None)

    assert answer.status_code == 200
    assert answer.json == {
        "status": "ok",
        "version": "1.2.3",
        "sql": "ok",
        "coordination": "ok",
        "artifacts": "ok",
    }


def test_health_says_which_part_fails(office: Office) -> None:
    office.tree.disconnect()
    (office.folder / "store").write_text("in the way")
    answer = office.call("GET", "/health", None)

    assert answer.status_code == 503
    content = answer.json
    assert content is not None
    assert (content["status"], content["sql"]) == ("failing", "ok")
    assert content["coordination"] == "not connected to the embedded tree"
    assert "artifacts cannot be written" in content["artifacts"]


@pytest.fixture
def public_key() -> str:
    return NodeKey.generate().public


def test_a_node_is_added_once_for_each_name(office: Office, public_key: str) -> None:
    first = office.call(
        "POST", "/nodes", Role.ADMIN, json={"name": "web-1.example", "public_key": public_key}
    )
    again = office.call(
        "POST", "/nodes", Role.ADMIN, json={"name": "web-1.example", "public_key": public_key}
    )

    assert first.status_code == 201
    assert first.json == {
        "name": "web-1.example",
        "live": False,
        "jobs": 0,
        "capacity": None,
        "crond": None,
        "labels": None,
        "version": None,
        "boot_id": None,
        "conditions": None,
        "added_at": "2026-03-01T12:00:00.123456Z",
        "drained_at": None,
        "paused_at": None,
        "fleet_paused_at": None,
        "runs": 0,
        "waiting": None,
        "facts": None,
    }
    assert again.status_code in (200, 201)
    assert again.json == first.json
    in_list = {name: value for name, value in first.json.items() if name not in ("facts", "runs", "waiting")}
    assert office.call("GET", "/nodes").json == [in_list]

    other = {"name": "web-1.example", "public_key": NodeKey.generate().public}
    answer = office.call("POST", "/nodes", Role.ADMIN, json=other)
    assert answer.status_code == 409
    assert "another key" in problem(answer)["detail"]


def test_the_audit_tells_once_who_added_a_node(office: Office, public_key: str) -> None:
    for _ in range(2):
        office.call("POST", "/nodes", Role.ADMIN, json={"name": "n1", "public_key": public_key})
    told = [each for each in office.store.transaction(audit.listing) if each.action == "node.add"]
    assert [(each.actor, each.detail) for each in told] == [("admin", "n1")]


def test_only_admins_add_nodes(office: Office, public_key: str) -> None:
    answer = office.call("POST", "/nodes", Role.USER, json={"name": "a", "public_key": public_key})

    assert answer.status_code == 403
    assert office.call("POST", "/nodes", Role.USER, json={"name": 5}).status_code == 403
    assert office.call("POST", "/nodes", Role.USER, data=b"{").status_code == 403
    assert office.call("GET", "/nodes").json == []


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", ".", "a/b", "a" * 64, "a\n", "ä", "a b", 5, None, ...])
def test_a_wrong_node_name_is_refused(empty_office: Office, public_key: str, name: object) -> None:
    body = {"public_key": public_key} | ({} if name is ... else {"name": name})
    answer = empty_office.call("POST", "/nodes", Role.ADMIN, json=body)

    assert answer.status_code == 422
    assert list(problem(answer)["errors"]) == ["name"]


@pytest.mark.parametrize("key", ["", "x", "AAAA", "A" * 44, "%" * 44, 5, None, ...])
def test_a_wrong_public_key_is_refused(empty_office: Office, key: object) -> None:
    body = {"name": "alpha"} | ({} if key is ... else {"public_key": key})
    answer = empty_office.call("POST", "/nodes", Role.ADMIN, json=body)

    assert answer.status_code == 422
    assert list(problem(answer)["errors"]) == ["public_key"]


def test_a_live_node_is_shown_with_what_it_says_of_itself(office: Office) -> None:
    office.add_node("alpha")
    office.live("alpha", jobs=2)

    assert office.call("GET", "/nodes").json == [
        {
            "name": "alpha",
            "live": True,
            "jobs": 2,
            "capacity": 0,
            "crond": True,
            "labels": {"disk": "ssd"},
            "version": "9",
            "boot_id": "boot",
            "conditions": None,
            "added_at": "2026-03-01T12:00:00.123456Z",
            "drained_at": None,
            "paused_at": None,
            "fleet_paused_at": None,
        }
    ]
    office.tree.disconnect()
    (node,) = office.call("GET", "/nodes").json or []
    assert (node["live"], node["jobs"], node["crond"]) == (None, None, None)


def test_a_job_whose_run_as_is_cleared_shows_its_env_and_input_to_every_user(office: Office) -> None:
    office.create(Role.ADMIN, run_as="backup", env={"A": "x"}, stdin="y")
    hidden = office.call("GET", "/jobs/1").json or {}
    assert (hidden["env"], hidden["stdin"], hidden["hidden"]) == ({"A": None}, None, ["env", "stdin"])

    office.call("PATCH", "/jobs/1", Role.ADMIN, json={"run_as": None})

    shown = office.call("GET", "/jobs/1").json or {}
    assert (shown["env"], shown["stdin"], shown["hidden"]) == ({"A": "x"}, "y", [])
