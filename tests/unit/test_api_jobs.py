"""Jobs come in, are shown and removed."""

import base64
import json
import logging
from typing import Any

import pytest
from support.office import COMMAND, Office, problem, revs_told
from support.samples import NOW

from cronkeeper.api import fields
from cronkeeper.api.identity import Role
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import JobType

SCRIPT = b"#!/bin/sh\necho hello\n"
ENCODED = base64.b64encode(SCRIPT).decode()
OF_SCRIPT: dict[str, Any] = {"type": "script", "command": ..., "executable": ENCODED}


def test_a_command_becomes_a_job_that_the_leader_is_told_of(office: Office) -> None:
    answer = office.create()

    assert answer.status_code == 201
    assert answer.headers["Location"] == "/jobs/1"
    assert answer.json == {
        "id": "1",
        "type": "command",
        "name": "backup",
        "enabled": True,
        "status": "scheduled",
        "command": "/usr/bin/backup --all",
        "executable": None,
        "filename": None,
        "args": [],
        "shell": None,
        "schedule": "*/5 * * * *",
        "description": "Every 5 minutes",
        "at": None,
        "timezone": "Europe/Berlin",
        "next_ticks": ["2026-03-01T12:05:00Z", "2026-03-01T12:10:00Z", "2026-03-01T12:15:00Z"],
        "node": None,
        "run_as": None,
        "env": {},
        "stdin": None,
        "requires": {},
        "hidden": [],
        "timeout": None,
        "grace": 10.0,
        "concurrency": "forbid",
        "catch_up": "latest",
        "max_lateness": 3600.0,
        "max_output": 16777216,
        "retry": None,
        "on_node_loss": "fail",
        "when_isolated": "finish",
        "copies": 1,
        "rev": 1,
        "assigned_node": None,
        "placement": None,
        "last_run": None,
        "created_by": "user",
        "created_at": "2026-03-01T12:00:00.123456Z",
        "updated_at": "2026-03-01T12:00:00.123456Z",
        "ended_at": None,
    }
    assert office.call("GET", "/jobs/1").json == answer.json
    assert revs_told(office) == ["1"]


def test_a_script_is_stored_before_its_job_is(office: Office) -> None:
    answer = office.create(**OF_SCRIPT, filename="backup.sh")

    assert answer.status_code == 201
    (job,) = office.jobs()
    assert job.type is JobType.SCRIPT
    assert job.artifact is not None
    assert (job.artifact.filename, job.artifact.size) == ("backup.sh", len(SCRIPT))
    assert answer.json is not None
    assert answer.json["executable"] == office.desk.artifacts.url(job.artifact.sha256, "backup.sh")
    assert answer.json["filename"] == "backup.sh"
    assert answer.json["name"] == "backup.sh"
    target = office.folder / "fetched"
    office.desk.artifacts.fetch(job.artifact.sha256, target)
    assert target.read_bytes() == SCRIPT


@pytest.mark.parametrize("user", ["root", "www-data", "_apt", "a" * 32, "host$"])
def test_an_admin_may_say_who_runs_the_job(office: Office, user: str) -> None:
    answer = office.create(Role.ADMIN, run_as=user)

    assert answer.status_code == 201
    assert (office.jobs()[0].run_as, office.jobs()[0].created_by) == (user, "admin")


@pytest.mark.parametrize("user", ["", "Root", "a b", "-a", "a/b", "a" * 33, "root\n", "1a"])
def test_a_wrong_user_name_is_refused(empty_office: Office, user: str) -> None:
    answer = empty_office.create(Role.ADMIN, run_as=user)

    assert answer.status_code == 422
    assert "POSIX user" in problem(answer)["errors"]["run_as"][0]
    assert empty_office.jobs() == []


def test_every_wrong_field_is_named_at_once(empty_office: Office) -> None:
    answer = empty_office.create(type="script", name="", surprise=1)

    assert set(problem(answer)["errors"]) == {"command", "executable", "name", "surprise"}


def test_a_large_script_is_refused_by_its_decoded_size(office: Office) -> None:
    largest = bytes(fields.MAX_FILE_BYTES)
    assert office.create(**OF_SCRIPT | {"executable": base64.b64encode(largest).decode()}).status_code == 201

    for size in (fields.MAX_FILE_BYTES + 1, fields.MAX_FILE_BYTES + 100):
        answer = office.create(**OF_SCRIPT | {"executable": base64.b64encode(bytes(size)).decode()})
        assert answer.status_code == 422
        assert "up to 16777216 bytes" in problem(answer)["errors"]["executable"][0]
    assert len(office.jobs()) == 1


@pytest.mark.parametrize("other", [{}, {"type": "nonsense"}, {"schedule": ...}, {"run_as": 5}, {"x": 1}])
def test_run_as_is_for_admins_whatever_else_is_wrong(empty_office: Office, other: dict[str, Any]) -> None:
    answer = empty_office.create(Role.USER, **{"run_as": "root", **other})

    assert answer.status_code == 403
    assert "admin" in problem(answer)["detail"]
    assert empty_office.jobs() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"{'type': 'command'}", 400),
        (b'{"type": NaN}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b"\xff\xfe", 400),
        (b"1e999", 400),
        (b'{"a":' * 100_000, 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"7", 422),
        (b"[[]]", 422),
    ],
)
def test_a_body_that_is_no_object_is_refused(empty_office: Office, body: bytes, status: int) -> None:
    answer = empty_office.call("POST", "/jobs", data=body, content_type="application/json")

    assert answer.status_code == status
    content = problem(answer)
    if status == 422:
        assert content["errors"]["body"] == ["a JSON object is expected"]
    assert empty_office.jobs() == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_only_json_is_accepted(empty_office: Office, content_type: str | None) -> None:
    answer = empty_office.call("POST", "/jobs", data=json.dumps(COMMAND).encode(), content_type=content_type)

    assert answer.status_code == 415
    assert "application/json" in problem(answer)["detail"]
    assert empty_office.jobs() == []


def test_json_may_name_its_charset(office: Office) -> None:
    content_type = "application/json; charset=utf-8"
    answer = office.call("POST", "/jobs", data=json.dumps(COMMAND).encode(), content_type=content_type)

    assert answer.status_code == 201


def test_a_body_beyond_24_mib_is_refused(empty_office: Office) -> None:
    answer = empty_office.call("POST", "/jobs", data=bytes(24 * 2**20 + 1), content_type="application/json")

    assert answer.status_code == 413
    assert "25165824 bytes" in problem(answer)["detail"]


def test_an_answer_about_many_wrong_fields_stays_small(empty_office: Office) -> None:
    surprises: dict[str, Any] = {f"field{number}": 1 for number in range(10_000)}
    answer = empty_office.create(**surprises)

    assert answer.status_code == 422
    assert len(answer.data) < 20_000


def test_without_its_artifact_no_job_is_stored(office: Office) -> None:
    (office.folder / "store").write_text("in the way")

    answer = office.create(**OF_SCRIPT)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "artifact" in problem(answer)["detail"]
    assert office.jobs() == []


def test_jobs_are_taken_in_while_the_tree_is_away(office: Office) -> None:
    office.tree.disconnect()

    assert office.create().status_code == 201


@pytest.mark.parametrize("job_id", ["1", "0", "-1", "abc", "1.0", "01", "٣", "9" * 18, "9" * 30, "1%00"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("DELETE", ""), ("GET", "/runs"), ("POST", "/runs")]
)
def test_there_is_no_such_job(empty_office: Office, method: str, rest: str, job_id: str) -> None:
    answer = empty_office.call(method, f"/jobs/{job_id}{rest}")

    assert answer.status_code == 404
    assert "no job" in problem(answer)["detail"]


def test_a_removed_job_stays_readable_and_can_be_removed_again(office: Office) -> None:
    office.create()

    for _ in range(2):
        answer = office.call("DELETE", "/jobs/1")
        assert (answer.status_code, answer.data) == (204, b"")

    job = office.call("GET", "/jobs/1").json
    assert job is not None
    assert (job["status"], job["rev"]) == ("finished", 2)
    assert job["ended_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert revs_told(office) == ["1", "2", "2"]


def test_each_change_is_one_line_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cronkeeper")
    office.create(command="echo a-secret")
    office.call("POST", "/jobs/1/runs")
    office.call("DELETE", "/jobs/1")
    office.call("GET", "/jobs")

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert all("user" in line for line in lines)
    assert not any("a-secret" in line or "token" in line for line in lines)


def test_sql_that_does_not_answer_is_said_to_be_away(office: Office) -> None:
    office.store.troubles.append(Unavailable("the database does not answer"))
    answer = office.create()

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert problem(answer)["detail"] == "the database does not answer"
