"""Jobs are changed, paused, resumed and duplicated."""

import base64
import logging
from datetime import timedelta
from typing import Any

import pytest
from support.office import COMMAND, Office, problem, revs_told
from support.samples import NOW

from cronkeeper.api.identity import Role
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Job
from cronkeeper.common.store import audit

LATER = NOW + timedelta(minutes=5)
SCRIPT = {
    "type": "script",
    "command": ...,
    "executable": base64.b64encode(b"#!/bin/sh\n").decode(),
    "filename": "old.sh",
}
ACTIONS = [("PATCH", ""), ("PUT", ""), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")]


@pytest.fixture
def later(office: Office) -> Office:
    """With a node and a job that is five minutes old."""
    office.add_node("alpha")
    office.create(env={"A": "secret"})
    office.clock.now = LATER
    return office


def patch(office: Office, as_: Role = Role.USER, **changes: Any) -> Any:
    return office.call("PATCH", "/jobs/1", as_, json=changes)


def audited(office: Office) -> list[tuple[str, str]]:
    """What was done, but for what the fixture did."""
    rows = [each for each in office.store.transaction(audit.listing) if each.job_id is not None]
    return [(each.action, each.detail) for each in rows][1:]


def job(office: Office) -> Job:
    return office.jobs()[0]


def test_a_change_is_the_next_rev_and_the_leader_is_told(later: Office) -> None:
    answer = patch(later, name="new", env={"A": "hidden"})

    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    assert (answer.json["rev"], answer.json["name"], answer.json["env"]) == (2, "new", {"A": "hidden"})
    assert (job(later).published_rev, job(later).updated_at) == (0, LATER)
    assert later.call("GET", "/jobs/1").json == answer.json
    assert revs_told(later) == ["1", "2"]
    assert audited(later) == [("edit", "new: name, env")]


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"schedule": "0 3 * * *"}, True),
        ({"schedule": None}, True),
        ({"timezone": "UTC"}, True),
        ({"schedule": "@once", "at": "2030-01-01T00:00:00Z"}, True),
        ({"command": "true"}, False),
        ({"enabled": False}, False),
        ({"schedule": " */5  * * * *", "timeout": 5}, False),
        ({"grace": 0, "max_lateness": 1, "concurrency": "allow", "stdin": "x"}, False),
    ],
)
def test_only_a_change_of_when_begins_anew(later: Office, changes: dict[str, Any], begins: bool) -> None:
    answer = patch(later, **changes)

    assert answer.status_code == 200, answer.text
    assert job(later).rev == 2
    assert job(later).effective_from == (LATER if begins else NOW)


def test_where_a_job_may_run_is_changed_taken_away_and_taken_along_by_a_duplicate(later: Office) -> None:
    assert patch(later, node="alpha", requires={"disk": "ssd"}).status_code == 200
    assert (job(later).node, job(later).requires) == ("alpha", {"disk": "ssd"})
    assert job(later).effective_from == NOW
    assert later.call("POST", "/jobs/1/duplicate").json["requires"] == {"disk": "ssd"}
    other = later.call("POST", "/jobs/1/duplicate", json={"requires": {}, "node": None}).json
    assert (other["node"], other["requires"]) == (None, {})
    assert later.call("PUT", "/jobs/1", json=COMMAND).status_code == 200
    assert (job(later).node, job(later).requires) == (None, {})
    assert audited(later)[0] == ("edit", "backup: node, requires")


@pytest.mark.parametrize(
    "changes",
    [{}, {"command": COMMAND["command"]}, {"schedule": "*/5  * * * *"}, {"type": "command"}, {"node": None}],
)
def test_a_change_of_nothing_changes_nothing(later: Office, changes: dict[str, Any]) -> None:
    answer = patch(later, **changes)

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    assert job(later).updated_at == NOW
    assert audited(later) == []


@pytest.mark.parametrize(
    ("changes", "field", "complaint"),
    [
        ({"type": "script"}, "type", "create a new job"),
        ({"node": "nobody-knows"}, "node", "accepted: the name of one that was added, or null"),
        ({"requires": {"disk": ""}}, "requires", "1 to 63"),
        ({"args": ["x"]}, "args", "only for type script or binary"),
        ({"executable": "eA=="}, "executable", "only for type script or binary"),
        ({"at": "2030-01-01T00:00:00Z"}, "at", "only with schedule @once"),
        ({"schedule": "@once", "at": "2026-03-01T12:04:00Z"}, "at", "is past"),
        ({"schedule": "61 * * * *"}, "schedule", "five cron fields"),
        ({"name": ""}, "name", "1 to 200"),
        ({"command": None}, "command", "null"),
        ({"copies": 2}, "copies", 'accepted: 1, or "all"'),
        ({"copies": "all"}, "copies", "duplicate the job"),
        ({"rev": 2}, "rev", "not a field here"),
    ],
)
def test_a_wrong_change_leaves_the_job_as_it_is(
    later: Office, changes: dict[str, Any], field: str, complaint: str
) -> None:
    before = job(later)
    answer = patch(later, **changes)

    assert answer.status_code == 422
    assert complaint in " ".join(problem(answer)["errors"][field])
    assert (job(later), audited(later)) == (before, [])
    assert not (later.folder / "store").exists()


def test_a_one_shot_keeps_its_time_though_it_is_past(later: Office) -> None:
    once = {"schedule": "@once", "at": "2026-03-01T12:06:00Z"}
    assert patch(later, **once).status_code == 200
    later.clock.now = LATER + timedelta(hours=1)

    assert patch(later, name="x").status_code == 200
    assert "only with schedule @once; else null" in problem(patch(later, schedule=None))["errors"]["at"]
    assert patch(later, schedule=None, at=None).status_code == 200


def test_a_new_script_takes_the_place_of_the_old_one(office: Office) -> None:
    office.create(**SCRIPT)
    new = b"#!/bin/sh\nexit 1\n"

    assert patch(office, executable=base64.b64encode(new).decode()).status_code == 200
    artifact = job(office).artifact
    assert artifact is not None
    assert (artifact.filename, artifact.size) == ("old.sh", len(new))
    office.desk.artifacts.fetch(artifact.sha256, office.folder / "fetched")
    assert (office.folder / "fetched").read_bytes() == new

    assert patch(office, filename="new.sh").json["filename"] == "new.sh"
    assert job(office).rev == 3


def test_put_says_the_whole_job(later: Office) -> None:
    answer = later.call("PUT", "/jobs/1", json=COMMAND | {"command": "/bin/true", "timeout": 5})

    assert answer.status_code == 200
    assert answer.json is not None
    told = {name: answer.json[name] for name in ("name", "command", "timeout", "env", "rev")}
    assert told == {"name": "true", "command": "/bin/true", "timeout": 5.0, "env": {}, "rev": 2}
    assert job(later).effective_from == NOW
    assert problem(later.call("PUT", "/jobs/1", json={"type": "command"}))["errors"].keys() == {
        "command",
        "schedule",
    }
    other = {"type": "script", "schedule": None, "executable": SCRIPT["executable"]}
    assert "can't be changed" in problem(later.call("PUT", "/jobs/1", json=other))["errors"]["type"][0]


def test_what_runs_as_somebody_is_for_admins_to_do_anything_with(office: Office) -> None:
    office.create(Role.ADMIN, run_as="backup")
    whole = COMMAND | {"command": "false"}

    for method, path, body in [
        ("PATCH", "/jobs/1", {"nonsense": 1}),
        ("PATCH", "/jobs/1", []),
        ("PUT", "/jobs/1", {"nonsense": 1}),
        ("DELETE", "/jobs/1", {}),
        ("POST", "/jobs/1/pause", {}),
        ("POST", "/jobs/1/resume", {"nonsense": 1}),
        ("POST", "/jobs/1/runs?wait=nonsense", {"nonsense": 1}),
        ("POST", "/jobs/1/duplicate", {"nonsense": 1}),
        ("PATCH", "/jobs/1", {"command": "false"}),
        ("PATCH", "/jobs/1", {"run_as": None}),
        ("PATCH", "/jobs/1", {"run_as": "root", "nonsense": 1}),
        ("PUT", "/jobs/1", whole),
        ("PUT", "/jobs/1", whole | {"run_as": "backup"}),
        ("POST", "/jobs/1/duplicate", {}),
    ]:
        answer = office.call(method, path, json=body)
        assert answer.status_code == 403, (method, body)
        assert "admins only" in problem(answer)["detail"]
    assert [(each.rev, each.ended_at) for each in office.jobs()] == [(1, None)]
    assert office.call("GET", "/jobs/1/runs").json == []

    assert office.call("POST", "/jobs/1/runs", Role.ADMIN).status_code == 202
    assert office.call("PATCH", "/jobs/1", Role.ADMIN, json={"run_as": None}).status_code == 200
    assert office.call("PATCH", "/jobs/1", json={"command": "false"}).status_code == 200


def test_a_paused_job_is_not_due_until_it_is_resumed_and_then_from_now_on(later: Office) -> None:
    paused = later.call("POST", "/jobs/1/pause")
    assert paused.json is not None
    assert (paused.status_code, paused.json["enabled"], paused.json["next_ticks"]) == (200, False, [])
    assert later.call("POST", "/jobs/1/pause", json={}).headers["ETag"] == '"2"'

    later.clock.now = LATER + timedelta(hours=1)
    resumed = later.call("POST", "/jobs/1/resume")
    assert resumed.json is not None
    assert (resumed.json["enabled"], resumed.json["rev"]) == (True, 3)
    assert resumed.json["next_ticks"][0] == "2026-03-01T13:10:00Z"
    assert job(later).effective_from == later.clock.now
    assert later.call("POST", "/jobs/1/resume").headers["ETag"] == '"3"'
    assert audited(later) == [("pause", "backup: enabled"), ("resume", "backup: enabled")]
    assert later.call("POST", "/jobs/1/pause", json={"for": 5}).status_code == 422


def test_a_copy_is_a_new_job(later: Office) -> None:
    patch(later, timeout=7)
    answer = later.call("POST", "/jobs/1/duplicate")

    assert answer.status_code == 201
    assert (answer.headers["Location"], answer.headers["ETag"]) == ("/jobs/2", '"1"')
    original = later.call("GET", "/jobs/1").json
    assert original is not None
    assert answer.json == original | {
        "id": "2",
        "name": "backup (copy)",
        "rev": 1,
        "created_at": answer.json["created_at"],
    }
    other = later.call("POST", "/jobs/1/duplicate", json={"name": "x" * 200, "node": "alpha"})
    assert other.json is not None
    assert (other.json["name"], other.json["node"]) == ("x" * 200, "alpha")
    again = later.call("POST", "/jobs/3/duplicate", json={})
    assert again.json is not None
    assert (again.json["name"], again.json["node"]) == ("x" * 193 + " (copy)", "alpha")
    refused = later.call("POST", "/jobs/1/duplicate", json={"node": "beta", "command": "x"})
    assert list(problem(refused)["errors"]) == ["command"]
    assert later.call("POST", "/jobs/1/duplicate", json={"node": "beta"}).status_code == 422
    assert len(later.jobs()) == 4


@pytest.mark.parametrize(("method", "rest"), ACTIONS)
def test_if_match_lets_only_the_rev_that_was_seen_be_changed(later: Office, method: str, rest: str) -> None:
    body = {"json": COMMAND | {"name": "x"} if method == "PUT" else {"name": "x"}} if rest == "" else {}
    patch(later, enabled=rest != "/resume")

    def call(tag: str) -> Any:
        return later.call(method, f"/jobs/1{rest}", headers={"If-Match": tag}, **body)

    rev = job(later).rev
    for tag in ('"7"', f'W/"{rev}"', '"7", "8"', '""'):
        answer = call(tag)
        assert answer.status_code == 412, tag
        assert f"at rev {rev} now" in problem(answer)["detail"]
    for tag in (f"{rev}", "", '"', '"1" "2"', "'1'", '"1",'):
        answer = call(tag)
        assert answer.status_code == 400, tag
        assert "accepted: *" in problem(answer)["detail"]
    assert job(later).rev == rev
    assert call(f'"7" , "{rev}"').status_code < 300
    assert call(" * ").status_code < 300


@pytest.mark.parametrize(("method", "rest"), ACTIONS[:4])
def test_a_job_that_has_ended_is_not_changed(later: Office, method: str, rest: str) -> None:
    later.call("DELETE", "/jobs/1")
    body = {"json": COMMAND} if rest == "" else {}

    answer = later.call(method, f"/jobs/1{rest}", **body)

    assert answer.status_code == 409
    assert "has ended" in problem(answer)["detail"]
    assert job(later).rev == 2


@pytest.mark.parametrize(("method", "rest"), [*ACTIONS[:4], ("POST", "/duplicate")])
def test_no_job_no_change(empty_office: Office, method: str, rest: str) -> None:
    body = {"json": COMMAND} if rest == "" else {}
    for job_id in ("7", "x", "9" * 30):
        answer = empty_office.call(method, f"/jobs/{job_id}{rest}", **body)
        assert answer.status_code == 404
        assert "no job" in problem(answer)["detail"]


def test_a_change_is_one_line_in_the_log_without_what_may_be_secret(
    later: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cronkeeper")
    patch(later, env={"A": "hidden"}, stdin="hidden")
    assert "hidden" not in problem(patch(later, env={"A": "hidden\0"})).__repr__()
    later.store.troubles.append(Unavailable("the database does not answer"))
    assert patch(later, env={"A": "hidden"}).status_code == 503

    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert lines == ["job 1, backup: edit by user, now at rev 2"]
    assert "hidden" not in caplog.text
    assert "hidden" not in str(later.store.transaction(audit.listing))


def test_the_openapi_document_tells_what_a_change_may_say(empty_office: Office) -> None:
    document = empty_office.call("GET", "/openapi.json", None).json
    assert document is not None
    schemas = document["components"]["schemas"]
    assert schemas["JobPatch"]["properties"].keys() == schemas["NewJob"]["properties"].keys()
    assert "required" not in schemas["JobPatch"]
    assert schemas["NewJob"]["required"] == ["schedule", "type"]
    assert not any("default" in each for each in schemas["JobPatch"]["properties"].values())
    at_job = document["paths"]["/jobs/{job_id}"]
    for method in ("patch", "put", "delete"):
        assert [each["name"] for each in at_job[method]["parameters"]] == ["If-Match"]
    assert "ETag" in at_job["get"]["responses"]["200"]["headers"]
    copy = document["paths"]["/jobs/{job_id}/duplicate"]["post"]
    assert copy["requestBody"]["required"] is False
    (key,) = document["paths"]["/jobs"]["post"]["parameters"]
    assert key["name"] == "Idempotency-Key"


def test_a_duplicate_of_a_one_shot_that_is_done_has_an_instant_of_its_own(office: Office) -> None:
    at = "2026-03-01T12:00:01Z"
    made = office.call(
        "POST", "/jobs", json={"type": "command", "command": "x", "schedule": "@once", "at": at}
    )
    office.clock.now += timedelta(hours=1)
    path = f"/jobs/{made.json['id']}/duplicate"
    assert office.call("POST", path, json={}).status_code == 422
    later = office.call("POST", path, json={"at": "2026-03-01T14:00:00Z"})
    assert (later.status_code, later.json["at"]) == (201, "2026-03-01T14:00:00Z")
    assert office.call("POST", path, json={"at": None}).status_code == 201
