"""What requests and answers look like, for the OpenAPI document: by method and path of each operation."""

from collections.abc import Mapping
from typing import Any

_RUN_ID = "42.1.20300131T013000Z.1"
_SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
_CREATED = "2030-01-30T12:00:00.123456Z"

NEW_JOB = {
    "type": "command",
    "name": "nightly-backup",
    "command": "/usr/local/bin/backup --full",
    "schedule": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "requires": {"disk": "ssd"},
    "env": {"TARGET": "s3://backups"},
    "timeout": 3600,
}
NEW_SCRIPT = {
    "type": "script",
    "executable": "IyEvYmluL3NoCmVjaG8gaGVsbG8K",
    "filename": "hello.sh",
    "args": ["--quietly"],
    "schedule": None,
}
RUN = {
    "id": _RUN_ID,
    "job_id": "42",
    "copy": 1,
    "tick": "2030-01-31T01:30:00Z",
    "attempt": 1,
    "state": "succeeded",
    "started_by": "cron",
    "node": "db1",
    "requested_by": None,
    "created_at": "2030-01-31T01:30:01.204Z",
    "claimed_at": "2030-01-31T01:30:01.102Z",
    "started_at": "2030-01-31T01:30:01.131Z",
    "ended_at": "2030-01-31T01:34:17.480Z",
    "exit_code": 0,
    "reason": None,
}
_TICK = {
    "tick": "2030-01-31T01:30:00Z",
    "copy": 1,
    "result": "ran",
    "expected": True,
    "lateness": 1.131,
    "reason": None,
    "run_id": _RUN_ID,
    "state": "succeeded",
    "started_at": "2030-01-31T01:30:01.131Z",
    "node": "db1",
}
_SKIPPED = {
    "tick": "2030-01-30T01:30:00Z",
    "result": "skipped",
    "state": "skipped",
    "reason": "still_running",
}
LEDGER = {
    "from": "2030-01-30T00:00:00Z",
    "to": "2030-02-01T00:00:00Z",
    "known_from": "2030-01-01T12:00:00.123456Z",
    "unvouched": [{"from": "2030-01-29T23:00:00Z", "to": "2030-01-30T00:10:00Z"}],
    "summary": {
        "expected": 2,
        "ran": 1,
        "late": 0,
        "skipped": 1,
        "lost": 0,
        "open": 0,
        "unaccounted": 0,
        "unknown": 0,
        "unexpected": 0,
        "lateness": {"p50": 1.131, "p99": 1.131, "max": 1.131},
    },
    "ticks": [
        _TICK | _SKIPPED | {"run_id": "42.1.20300130T013000Z.1", "lateness": None, "started_at": None},
        _TICK,
    ],
}
QUEUED = RUN | {
    "id": "42.1.hand-2f79527a.1",
    "tick": None,
    "state": "queued",
    "started_by": "hand",
    "node": None,
    "requested_by": "ann",
    **dict.fromkeys(("claimed_at", "started_at", "ended_at", "exit_code")),
}
_OF_LAST_RUN = ("id", "state", "tick", "started_at", "ended_at", "exit_code", "node")
JOB = NEW_JOB | {
    "id": "42",
    "enabled": True,
    "status": "scheduled",
    "executable": None,
    "filename": None,
    "args": [],
    "shell": None,
    "description": "At 02:30",
    "at": None,
    "next_ticks": ["2030-02-01T01:30:00Z", "2030-02-02T01:30:00Z", "2030-02-03T01:30:00Z"],
    "node": None,
    "run_as": None,
    "stdin": None,
    "hidden": [],
    "grace": 10.0,
    "concurrency": "forbid",
    "catch_up": "latest",
    "max_lateness": 3600.0,
    "max_output": 16777216,
    "retry": {"attempts": 3, "delay": 60.0, "backoff": 2.0, "jitter": 0.0},
    "on_node_loss": "fail",
    "when_isolated": "finish",
    "copies": 1,
    "rev": 1,
    "assigned_node": "db1",
    "placement": None,
    "last_run": {name: RUN[name] for name in _OF_LAST_RUN},
    "created_by": "ann",
    "created_at": _CREATED,
    "updated_at": _CREATED,
    "ended_at": None,
}
COPY = {"copy": 7, "node": "db1", "since": _CREATED, "until": None, "on_node": True}
PAUSED = JOB | {"enabled": False, "next_ticks": [], "rev": 2}
NODE = {
    "name": "db1",
    "live": True,
    "jobs": 17,
    "crond": True,
    "labels": {"disk": "ssd"},
    "capacity": 0,
    "version": "0.1.0",
    "boot_id": "0f6c2d8e-6a51-4d37-9d0c-3a0a6ce0f0b4.fe01-4c2b1",
    "conditions": [
        {
            "name": "crond_dead",
            "reason": "no cron daemon runs on this machine",
            "since": "2030-01-31T01:33:12.482Z",
        }
    ],
    "added_at": _CREATED,
    "drained_at": None,
    "paused_at": None,
    "fleet_paused_at": None,
}
FACTS = {
    "hostname": "db1.example",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.1.0-18-amd64",
    "architecture": "x86_64",
    "cores": 8,
    "memory": 16777216000,
    "disk_total": 105089261568,
    "disk_free": 73014444032,
    "version": "0.1.0",
    "python": "3.11.2",
    "crond": "debian",
    "crontab": "/etc/cron.d/cronkeeper",
    "labels": {"disk": "ssd"},
    "timezone": "Europe/Berlin",
    "max_running": 32,
    "boot_id": "0f6c2d8e-6a51-4d37-9d0c-3a0a6ce0f0b4.fe01-4c2b1",
    "booted_at": "2030-01-12T06:02:11Z",
    "started_at": _CREATED,
    "told_at": "2030-01-31T01:34:00.118Z",
    "clock_offset": 0.0021,
    "clock_error": 0.0018,
    "configuration": {"loaded_at": _CREATED, "error": None, "needs_restart": [], "request": None},
}
ONE_NODE = NODE | {"runs": 2, "waiting": None, "facts": FACTS}
NEW_NODE = {"name": "db1", "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}
TOKEN = {
    "id": "3",
    "name": "ann",
    "role": "user",
    "created_by": "admin",
    "created_at": _CREATED,
    "expires_at": "2030-03-01T12:00:00.123456Z",
    "revoked_at": None,
}
ARTIFACT = {
    "url": f"s3://cronkeeper/artifacts/{_SHA256}#hello.sh",
    "sha256": _SHA256,
    "size": 6,
    "filename": "hello.sh",
}
HEALTH = {"status": "ok", "version": "0.1.0", "sql": "ok", "coordination": "ok", "artifacts": "ok"}
FAILING = HEALTH | {"status": "failing", "sql": "the database sqlite:////… does not answer"}
REPORT = {
    "run_id": _RUN_ID,
    "job_id": 42,
    "copy": 1,
    "tick": "2030-01-31T01:30:00Z",
    "attempt": 1,
    "gen": "3-17",
    "node": "db1",
    "started_by": "cron",
    "state": "running",
    "started_at": "2030-01-31T01:30:01.131Z",
}

REQUESTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("post", "/jobs"): {"a command": NEW_JOB, "a script that runs by hand only": NEW_SCRIPT},
    ("put", "/jobs/{job_id}"): {"a command": NEW_JOB},
    ("patch", "/jobs/{job_id}"): {"another schedule": {"schedule": "45 3 * * 1-5"}},
    ("post", "/jobs/{job_id}/duplicate"): {"another name": {"name": "nightly-backup-2"}},
    ("post", "/nodes"): {"a node": NEW_NODE},
    ("post", "/tokens"): {"for a month": {"name": "ann", "role": "user", "expires_in": 2592000}},
    ("post", "/reports"): {"a run has begun": [REPORT]},
}
"""Each with what it is an example of. Bodies that are no JSON have none."""

ANSWERS: Mapping[tuple[str, str, str], Any] = {
    ("post", "/jobs", "201"): JOB | {"last_run": None, "assigned_node": None},
    ("get", "/jobs", "200"): [JOB],
    ("get", "/jobs/{job_id}", "200"): JOB,
    ("get", "/jobs/{job_id}/copies", "200"): [COPY],
    ("patch", "/jobs/{job_id}", "200"): JOB | {"rev": 2},
    ("put", "/jobs/{job_id}", "200"): JOB | {"rev": 2},
    ("post", "/jobs/{job_id}/pause", "200"): PAUSED,
    ("post", "/jobs/{job_id}/resume", "200"): JOB | {"rev": 3},
    ("post", "/jobs/{job_id}/duplicate", "201"): JOB
    | {"id": "43", "name": "nightly-backup-2", "last_run": None},
    ("post", "/jobs/{job_id}/runs", "202"): QUEUED,
    ("post", "/jobs/{job_id}/runs", "200"): RUN | {"requested_by": "ann"},
    ("get", "/jobs/{job_id}/runs", "200"): [RUN],
    ("get", "/jobs/{job_id}/ledger", "200"): LEDGER,
    ("get", "/runs/{run_id}", "200"): RUN,
    ("get", "/nodes", "200"): [NODE],
    ("get", "/nodes/{name}", "200"): ONE_NODE,
    ("post", "/nodes/{name}/reload", "202"): {"request": "5d2c81f0"},
    ("post", "/nodes/{name}/drain", "200"): ONE_NODE | {"drained_at": _CREATED, "waiting": 2},
    ("post", "/nodes/{name}/undrain", "200"): ONE_NODE,
    ("post", "/nodes/{name}/pause", "200"): ONE_NODE | {"paused_at": _CREATED},
    ("post", "/nodes/{name}/resume", "200"): ONE_NODE,
    ("get", "/fleet", "200"): {"paused_at": None},
    ("post", "/fleet/pause", "200"): {"paused_at": _CREATED},
    ("post", "/fleet/resume", "200"): {"paused_at": None},
    ("post", "/nodes", "201"): ONE_NODE
    | {
        "facts": None,
        "runs": 0,
        "live": False,
        "jobs": 0,
        **dict.fromkeys(("crond", "labels", "capacity", "version", "boot_id")),
    },
    ("post", "/tokens", "201"): TOKEN | {"token": "ck_" + "x" * 43},
    ("get", "/tokens", "200"): [TOKEN],
    ("put", "/artifacts", "201"): ARTIFACT,
    ("get", "/health", "200"): HEALTH,
    ("get", "/health", "503"): FAILING,
    ("post", "/reports", "200"): {"acknowledged": [_RUN_ID]},
}
