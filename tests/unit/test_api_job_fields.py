"""What a job may say of itself, and what is refused with nothing left behind."""

import base64
from typing import Any

import pytest
from support.office import Office, problem

SCRIPT = b"#!/bin/sh\necho hello\n"
ENCODED = base64.b64encode(SCRIPT).decode()
WORKDAYS = "Every 2 hours, between 09:00 and 17:59, Monday through Friday"
THIRTEENTH = "At 00:00, on day 13 of the month; or at 00:00, only on Friday"
MONDAYS = "At 00:00, every 2 days; but only at 00:00, only on Monday"
OF_SCRIPT: dict[str, Any] = {"type": "script", "command": ..., "executable": ENCODED}


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"schedule": None}, "schedule", None),
        ({"schedule": "  0   3 * *\t1-5 "}, "schedule", "0 3 * * 1-5"),
        ({"schedule": "@daily"}, "schedule", "@daily"),
        ({"schedule": "@once"}, "at", None),
        ({"schedule": "@once", "at": None}, "at", None),
        ({"schedule": " @once ", "at": "2026-03-01T14:00:00+01:00"}, "at", "2026-03-01T13:00:00Z"),
        ({"schedule": "@once", "at": "2026-03-01T12:00:00.123456Z"}, "at", "2026-03-01T12:00:00.123456Z"),
        ({"name": "Nächtliche Sicherung"}, "name", "Nächtliche Sicherung"),
        ({"name": "x" * 200}, "name", "x" * 200),
        ({"command": "true"}, "name", "true"),
        ({"command": "  /a/b/c.py\t--d"}, "name", "c.py"),
        ({"command": "/ x"}, "name", "/"),
        ({"command": "\x01 x"}, "name", "command"),
        ({"command": "a" * 300}, "name", "a" * 200),
        ({"command": "é" * 32768}, "command", "é" * 32768),
        (OF_SCRIPT, "name", "script"),
        (OF_SCRIPT, "filename", "script"),
        (OF_SCRIPT | {"filename": "...x"}, "filename", "...x"),
        ({"concurrency": "forbid"}, "concurrency", "forbid"),
        ({"run_as": None}, "run_as", None),
        (OF_SCRIPT | {"type": "binary"}, "name", "binary"),
        (OF_SCRIPT | {"type": "binary", "filename": "tool"}, "filename", "tool"),
        (OF_SCRIPT | {"type": "binary", "shell": None}, "shell", None),
        (OF_SCRIPT | {"args": ["-v", "", "a b\n"]}, "args", ["-v", "", "a b\n"]),
        (OF_SCRIPT | {"shell": "/usr/bin/env bash"}, "shell", "/usr/bin/env bash"),
        ({"shell": "/bin/bash"}, "shell", "/bin/bash"),
        ({"enabled": False}, "enabled", False),
        ({"enabled": False}, "next_ticks", []),
        ({"timezone": "America/St_Johns"}, "timezone", "America/St_Johns"),
        ({"timezone": "UTC", "schedule": "0 3 * * *"}, "description", "At 03:00"),
        ({"schedule": None}, "description", None),
        ({"schedule": None}, "next_ticks", []),
        ({"schedule": "@weekly"}, "description", "At 00:00, only on Sunday"),
        ({"schedule": "0 9-17/2 * * MON-fri"}, "description", WORKDAYS),
        ({"schedule": "0 0 13 * 5"}, "description", THIRTEENTH),
        ({"schedule": "0 0 */2 * 1"}, "description", MONDAYS),
        ({"schedule": "1,*/7 * * * *"}, "description", "1,*/7 * * * *"),
        ({"schedule": "0 0 * * 3-07"}, "description", "0 0 * * 3-07"),
        ({"schedule": " @every   1h30m"}, "schedule", "@every 1h30m"),
        ({"schedule": "@every 1h30m"}, "description", "Every 1 hour 30 minutes"),
        ({"schedule": "*/10 * * * * *"}, "description", "Every 10 seconds"),
        ({"schedule": "30 0 3 * * 1-5"}, "description", "At 03:00:30, Monday through Friday"),
        ({"schedule": "@once"}, "description", "once, at 2026-03-01 13:00:00 Europe/Berlin"),
        ({"schedule": "@once", "at": "2026-03-01T14:00:00Z"}, "next_ticks", ["2026-03-01T14:00:00Z"]),
        (
            {"requires": {"disk": "ssd", "a.b/c_d-E": "9" * 63}},
            "requires",
            {"disk": "ssd", "a.b/c_d-E": "9" * 63},
        ),
        ({"requires": {}}, "requires", {}),
        ({"env": {"_A1": "", "B": "x=y\nz"}}, "env", {"_A1": "", "B": "x=y\nz"}),
        ({"env": {"A": "é" * 32766}}, "env", {"A": "é" * 32766}),
        ({"stdin": ""}, "stdin", ""),
        ({"stdin": "é\0" * 20000}, "stdin", "é\0" * 20000),
        ({"timeout": 0.5}, "timeout", 0.5),
        ({"timeout": 2592000}, "timeout", 2592000.0),
        ({"timeout": None}, "timeout", None),
        ({"grace": 0}, "grace", 0.0),
        ({"grace": 30}, "grace", 30.0),
        ({"concurrency": "allow"}, "concurrency", "allow"),
        ({"concurrency": "replace"}, "concurrency", "replace"),
        ({"catch_up": "all"}, "catch_up", "all"),
        ({"max_lateness": 0}, "max_lateness", 0.0),
        ({"max_lateness": 2678400}, "max_lateness", 2678400.0),
        ({"max_output": 0}, "max_output", 0),
        ({"max_output": 1024**3}, "max_output", 1024**3),
        ({"retry": None}, "retry", None),
        ({"retry": {"attempts": 0}}, "retry", None),
        (
            {"retry": {"attempts": 3}},
            "retry",
            {"attempts": 3, "delay": 10.0, "backoff": 2.0, "jitter": 0.0},
        ),
        (
            {"retry": {"attempts": 20, "delay": 86400, "backoff": 1.5, "jitter": 3600}},
            "retry",
            {"attempts": 20, "delay": 86400.0, "backoff": 1.5, "jitter": 3600.0},
        ),
        ({"on_node_loss": "rerun"}, "on_node_loss", "rerun"),
        ({"when_isolated": "stop"}, "when_isolated", "stop"),
        ({"copies": 1}, "copies", 1),
        ({"copies": "all"}, "copies", "all"),
    ],
)
def test_what_is_accepted(office: Office, changes: dict[str, Any], field: str, value: Any) -> None:
    answer = office.create(**changes)

    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    assert answer.json[field] == value


@pytest.mark.parametrize(
    ("changes", "field", "complaint"),
    [
        ({"type": ...}, "type", "required"),
        ({"type": "library"}, "type", "command, script, binary"),
        ({"type": 1}, "type", "string"),
        ({"type": ["command"]}, "type", "string"),
        ({"type": None}, "type", "null"),
        ({"command": ...}, "command", "required for type command"),
        ({"command": ""}, "command", "empty"),
        ({"command": " \t "}, "command", "empty"),
        ({"command": "a\0b"}, "command", "NUL"),
        ({"command": "a\nb"}, "command", "use a script"),
        ({"command": "a\rb"}, "command", "use a script"),
        ({"command": "a" * 65537}, "command", "up to 65536 bytes"),
        ({"command": "é" * 32769}, "command", "up to 65536 bytes"),
        ({"command": 5}, "command", "string"),
        ({"command": None}, "command", "null"),
        ({"executable": ENCODED}, "executable", "only for type script or binary"),
        ({"filename": "x"}, "filename", "only for type script or binary"),
        ({"filename": None}, "filename", "null"),
        (OF_SCRIPT | {"executable": ...}, "executable", "required for type script"),
        (OF_SCRIPT | {"command": "true"}, "command", "only for type command"),
        (OF_SCRIPT | {"executable": ""}, "executable", "empty"),
        (OF_SCRIPT | {"executable": "%%%%"}, "executable", "base64"),
        (OF_SCRIPT | {"executable": ENCODED[:-1]}, "executable", "base64"),
        (OF_SCRIPT | {"executable": "ä" * 8}, "executable", "base64"),
        (OF_SCRIPT | {"executable": ENCODED + "\n"}, "executable", "base64"),
        (OF_SCRIPT | {"executable": 7}, "executable", "base64"),
        (OF_SCRIPT | {"executable": "file:///etc/passwd"}, "executable", "names no artifact of this store"),
        (
            OF_SCRIPT | {"executable": "https://example.org/x"},
            "executable",
            "accepted: a URL such as file://",
        ),
        (OF_SCRIPT | {"executable": None}, "executable", "null"),
        (OF_SCRIPT | {"filename": "a/b"}, "filename", "without a folder"),
        (OF_SCRIPT | {"filename": "."}, "filename", "without a folder"),
        (OF_SCRIPT | {"filename": ".."}, "filename", "without a folder"),
        (OF_SCRIPT | {"filename": ""}, "filename", "1 to 200 printable"),
        (OF_SCRIPT | {"filename": "a\0b"}, "filename", "1 to 200 printable"),
        (OF_SCRIPT | {"filename": "a\nb"}, "filename", "1 to 200 printable"),
        (OF_SCRIPT | {"filename": "a" * 201}, "filename", "1 to 200 printable"),
        ({"name": ""}, "name", "1 to 200 printable"),
        ({"name": "   "}, "name", "1 to 200 printable"),
        ({"name": "a\x1b[31m"}, "name", "1 to 200 printable"),
        ({"name": "a" * 201}, "name", "1 to 200 printable"),
        ({"name": {}}, "name", "string"),
        ({"schedule": ...}, "schedule", "required"),
        ({"schedule": ""}, "schedule", "five cron fields"),
        ({"schedule": "* * * *"}, "schedule", "five cron fields"),
        ({"schedule": "61 * * * *"}, "schedule", "five cron fields"),
        ({"schedule": "*/0 * * * *"}, "schedule", "five cron fields"),
        ({"schedule": "5-1 * * * *"}, "schedule", "five cron fields"),
        ({"schedule": "30 2 30 2 *"}, "schedule", "five cron fields"),
        ({"schedule": "0 0 L * *"}, "schedule", "five cron fields"),
        ({"schedule": "0 0 * * 1#2"}, "schedule", "five cron fields"),
        ({"schedule": "0 0 15W * *"}, "schedule", "five cron fields"),
        ({"schedule": "* * * * * * *"}, "schedule", "it has 7 fields"),
        ({"schedule": "60 * * * * *"}, "schedule", "'60' is not understood as second, which takes 0-59"),
        (
            {"schedule": "@every 1.5h"},
            "schedule",
            "takes whole days, hours, minutes and seconds, such as 10s",
        ),
        ({"schedule": "@every 0s"}, "schedule", "takes a time from 1s to 366d"),
        ({"schedule": "@reboot"}, "schedule", "@hourly"),
        ({"schedule": "0 0 30 2 *"}, "schedule", "five cron fields"),
        ({"schedule": "* * * * *" + " " * 1000}, "schedule", "1000"),
        ({"schedule": 5}, "schedule", "string"),
        ({"at": "2030-01-01T00:00:00Z"}, "at", "only with schedule @once"),
        ({"schedule": None, "at": "2030-01-01T00:00:00Z"}, "at", "only with schedule @once"),
        ({"schedule": "@once", "at": "2030-01-01T00:00:00"}, "at", "no offset"),
        ({"schedule": "@once", "at": "2030-01-01"}, "at", "no offset"),
        ({"schedule": "@once", "at": "tomorrow"}, "at", "2030-01-31T12:00:00+01:00"),
        ({"schedule": "@once", "at": 1893456000}, "at", "2030-01-31T12:00:00+01:00"),
        ({"schedule": "@once", "at": "9999-12-31T23:59:59-12:00"}, "at", "expected"),
        ({"schedule": "@once", "at": "9999-12-31T23:59:59Z"}, "at", "up to the year 2999"),
        ({"schedule": "@once", "at": "2026-03-01T12:00:00Z"}, "at", "2026-03-01 12:00:00 UTC is past"),
        ({"schedule": "@once", "at": "2026-03-01T12:30:00+01:00"}, "at", "2026-03-01 11:30:00 UTC is past"),
        ({"concurrency": "queue"}, "concurrency", "forbid, allow, replace"),
        ({"concurrency": None}, "concurrency", "null"),
        ({"nodes": 2}, "nodes", "not a field here; accepted: type, command, executable, filename,"),
        ({"copies": 2}, "copies", 'accepted: 1, or "all"'),
        ({"copies": "1"}, "copies", 'accepted: 1, or "all"'),
        ({"copies": True}, "copies", 'accepted: 1, or "all"'),
        ({"copies": None}, "copies", "null"),
        ({"copies": "all", "schedule": "@once"}, "schedule", "only for jobs with copies 1"),
        ({"requires": None}, "requires", "null"),
        ({"requires": ["disk=ssd"]}, "requires", "an object is expected"),
        ({"requires": {"disk": 1}}, "requires", "values are strings"),
        ({"requires": {"": "ssd"}}, "requires", "'' is no key of a label; accepted: 1 to 63 letters"),
        ({"requires": {"disk": ""}}, "requires", "'' is no value of a label"),
        ({"requires": {"a b": "x"}}, "requires", "'a b' is no key"),
        ({"requires": {"a": "x" * 64}}, "requires", "is no value"),
        ({"requires": {"a": "x\n"}}, "requires", "is no value"),
        ({"requires": {f"k{n}": "x" for n in range(21)}}, "requires", "accepted: up to 20"),
        ({"timezone": "Europe/Atlantis"}, "timezone", "Europe/Berlin"),
        ({"timezone": "localtime"}, "timezone", "Europe/Berlin"),
        ({"timezone": "../UTC"}, "timezone", "Europe/Berlin"),
        ({"timezone": ""}, "timezone", "Europe/Berlin"),
        ({"timezone": None}, "timezone", "null"),
        ({"enabled": "yes"}, "enabled", "true or false"),
        ({"enabled": 1}, "enabled", "true or false"),
        ({"enabled": None}, "enabled", "null"),
        ({"shell": "bash"}, "shell", "absolute path"),
        ({"shell": ""}, "shell", "absolute path"),
        ({"shell": "/bin/"}, "shell", "absolute path"),
        ({"shell": "/bin/sh\n"}, "shell", "absolute path"),
        ({"shell": "/" + "a" * 1000}, "shell", "1000 characters"),
        ({"shell": 5}, "shell", "string"),
        (OF_SCRIPT | {"type": "binary", "shell": "/bin/sh"}, "shell", "only for type command or script"),
        ({"args": ["x"]}, "args", "only for type script or binary"),
        (OF_SCRIPT | {"args": "x"}, "args", "list of strings"),
        (OF_SCRIPT | {"args": {"x": "y"}}, "args", "list of strings"),
        (OF_SCRIPT | {"args": [1]}, "args", "list of strings"),
        (OF_SCRIPT | {"args": [None]}, "args", "list of strings"),
        (OF_SCRIPT | {"args": None}, "args", "null"),
        (OF_SCRIPT | {"args": ["a\0"]}, "args", "NUL"),
        (OF_SCRIPT | {"args": ["é" * 32768]}, "args", "up to 65536 bytes"),
        ({"node": "Alpha"}, "node", "name of a node"),
        ({"node": "nowhere"}, "node", "there is no node nowhere; accepted: "),
        ({"node": 1}, "node", "string"),
        ({"env": []}, "env", "an object"),
        ({"env": {"A": 1}}, "env", "values are strings"),
        ({"env": {"A": None}}, "env", "values are strings"),
        ({"env": None}, "env", "null"),
        ({"env": {"1A": "x"}}, "env", "'1A' is no name"),
        ({"env": {"": "x"}}, "env", "'' is no name"),
        ({"env": {"A B": "x"}}, "env", "'A B' is no name"),
        ({"env": {"A\n": "x"}}, "env", "is no name"),
        ({"env": {"CRONKEEPER_JOB_ID": "x"}}, "env", "CRONKEEPER_JOB_ID is reserved"),
        ({"env": {"A": "a\0"}}, "env", "NUL"),
        ({"env": {"A": "é" * 32768}}, "env", "up to 65536 bytes"),
        ({"stdin": ["x"]}, "stdin", "string"),
        ({"stdin": "é" * 32769}, "stdin", "up to 65536 bytes"),
        ({"timeout": 0}, "timeout", "accepted: above 0 to 2592000 seconds"),
        ({"timeout": 2592001}, "timeout", "2592000"),
        ({"timeout": "5"}, "timeout", "number of seconds"),
        ({"timeout": True}, "timeout", "number of seconds"),
        ({"timeout": 10**400}, "timeout", "too large"),
        ({"grace": -1}, "grace", "30"),
        ({"grace": 31}, "grace", "30"),
        ({"grace": None}, "grace", "null"),
        ({"catch_up": "some"}, "catch_up", "latest, all"),
        ({"catch_up": "all", "concurrency": "replace"}, "catch_up", "exclude each other"),
        ({"max_lateness": -1}, "max_lateness", "2678400"),
        ({"max_lateness": 2678401}, "max_lateness", "2678400"),
        ({"max_lateness": "1h"}, "max_lateness", "number of seconds"),
        ({"max_output": -1}, "max_output", "1073741824"),
        ({"max_output": 1024**3 + 1}, "max_output", "1073741824"),
        ({"max_output": 1.5}, "max_output", "whole number of bytes"),
        ({"max_output": True}, "max_output", "whole number of bytes"),
        ({"max_output": "16M"}, "max_output", "whole number of bytes"),
        ({"max_output": None}, "max_output", "null"),
        ({"retry": 3}, "retry", 'an object such as {"attempts": 3, "delay": 60} is expected'),
        ({"on_node_loss": "retry"}, "on_node_loss", "fail, rerun"),
        ({"when_isolated": "wait"}, "when_isolated", "finish, stop, run"),
        ({"command": "\x01" * 65536, "stdin": "\x01" * 65536}, "body", "up to 393216 bytes"),
        ({"id": "1"}, "id", "accepted: "),
        ({"": 1}, "", "accepted: "),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    empty_office: Office, changes: dict[str, Any], field: str, complaint: str
) -> None:
    answer = empty_office.create(**changes)

    assert answer.status_code == 422
    content = problem(answer)
    assert complaint in " ".join(content["errors"][field])
    assert empty_office.jobs() == []
    assert not (empty_office.folder / "store").exists()


def test_a_job_may_be_for_one_node_that_is_known(office: Office) -> None:
    office.add_node("alpha")

    answer = office.create(node="alpha")

    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["node"] == "alpha"


def test_ten_megabytes_of_brackets_are_refused(empty_office: Office) -> None:
    for body in (b"[" * 10 * 2**20, b'{"type": ' + b"[" * 10 * 2**20):
        answer = empty_office.call("POST", "/jobs", data=body, content_type="application/json")

        assert answer.status_code == 400
        assert "nested too deeply" in problem(answer)["detail"]
    assert empty_office.jobs() == []


def test_a_file_that_was_put_before_is_named_by_its_url(office: Office) -> None:
    sha256 = office.desk.artifacts.put(SCRIPT)
    url = office.desk.artifacts.url(sha256, "put.sh")

    for given, name in (
        ({"executable": url}, "put.sh"),
        ({"executable": url, "filename": "other.sh"}, "other.sh"),
        ({"executable": office.desk.artifacts.url(sha256), "type": "binary"}, "binary"),
    ):
        answer = office.create(**OF_SCRIPT | given)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        assert (answer.json["filename"], answer.json["name"]) == (name, name)
        assert answer.json["executable"] == office.desk.artifacts.url(sha256, name)
    assert {job.artifact.size for job in office.jobs() if job.artifact is not None} == {len(SCRIPT)}

    changed = office.call("PATCH", "/jobs/2", json={"executable": url})
    assert (changed.json or {})["filename"] == "put.sh"
    missing = office.create(**OF_SCRIPT | {"executable": office.desk.artifacts.url("0" * 64)})
    assert missing.status_code == 422
    assert "no artifact" in problem(missing)["errors"]["executable"][0]
    assert len(office.jobs()) == 3


@pytest.mark.parametrize(
    ("retry", "field"),
    [
        ({}, "attempts"),
        ({"attempts": -1}, "attempts"),
        ({"attempts": 21}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"attempts": "3"}, "attempts"),
        ({"attempts": 1, "delay": -1}, "delay"),
        ({"attempts": 1, "delay": "1m"}, "delay"),
        ({"attempts": 1, "backoff": 0.5}, "backoff"),
        ({"attempts": 1, "jitter": 3601}, "jitter"),
        ({"attempts": 1, "times": 2}, "times"),
    ],
)
def test_a_wrong_word_on_attempts_is_refused_by_its_name(
    empty_office: Office, retry: dict[str, Any], field: str
) -> None:
    answer = empty_office.create(retry=retry)
    assert answer.status_code == 422
    (said,) = problem(answer)["errors"]["retry"]
    assert said.startswith(f"{field}: ")
