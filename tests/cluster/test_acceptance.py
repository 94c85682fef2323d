"""The way of a job, the same on every install."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.installs import FOREIGN, Embedded, Testbed
from support.wait import wait_until

Install = Embedded | Testbed


def place_of(install: Install, job_id: str) -> str:
    """The node that the job was given to."""
    return str(wait_until(lambda: install.client.get(f"/jobs/{job_id}")["assigned_node"], 15))


def lines_of(install: Install, job_id: str) -> dict[str, list[str]]:
    """The job's lines in each node's crontab."""
    return {
        node: [line for line in table.splitlines() if f"# cronkeeper {job_id} " in line]
        for node, table in install.crontabs().items()
    }


def line_of(install: Install, job_id: str) -> str:
    """The job's one line, once it stands in its node's crontab and in no other."""
    node = place_of(install, job_id)
    wait_until(lambda: lines_of(install, job_id)[node], 15)
    lines = lines_of(install, job_id)
    assert [len(found) for name, found in lines.items() if name != node] == [0] * (len(lines) - 1)
    (line,) = lines[node]
    return line


def without_ours(table: str) -> str:
    """What of a crontab is not between our markers."""
    head, _, rest = table.partition("# cronkeeper ")
    _, _, tail = rest.partition(" end\n")
    return head + tail


def runs_of(install: Install, job_id: str) -> list[dict[str, Any]]:
    return list(install.client.get(f"/jobs/{job_id}/runs"))


@pytest.fixture(scope="module")
def all_minutely(installs: dict[str, Install]) -> dict[Install, dict[str, Any]]:
    """A job on each that is due every minute, made first so that its tick comes while the other tests run."""
    return {
        install: install.client.create(
            type="command",
            name="every minute",
            schedule="* * * * *",
            command="echo at $CRONKEEPER_TICK as $(id -un) 100% sure; echo oops >&2",
        )
        for install in installs.values()
    }


@pytest.fixture
def minutely(install: Install, all_minutely: dict[Install, dict[str, Any]]) -> dict[str, Any]:
    return all_minutely[install]


def test_a_new_job_stands_readable_in_exactly_one_nodes_crontab(
    install: Install, minutely: dict[str, Any]
) -> None:
    assert minutely["status"] == "scheduled"
    line = line_of(install, minutely["id"])
    assert line.startswith("* * * * * ")
    assert f"# cronkeeper {minutely['id']} every minute: echo at $CRONKEEPER_TICK" in line


def test_every_foreign_byte_of_the_crontabs_stays(install: Install, minutely: dict[str, Any]) -> None:
    line_of(install, minutely["id"])
    foreign = (
        FOREIGN if isinstance(install, Embedded) else FOREIGN.replace("* * *   true", "* * *  root true")
    )
    assert {without_ours(table) for table in install.crontabs().values()} == {foreign}


def test_a_job_by_hand_runs_now_and_its_output_comes_back(install: Install) -> None:
    job = install.client.create(type="command", name="by hand", command="id -un; echo 100% >&2")
    assert line_is_absent(install, job["id"])
    run = install.client.run_now(job["id"])
    assert (run["state"], run["exit_code"], run["started_by"]) == ("succeeded", 0, "hand")
    assert install.client.output(run["id"]) == f"{install.runs_as}\n"
    assert install.client.output(run["id"], "stderr") == "100%\n"


def line_is_absent(install: Install, job_id: str) -> bool:
    return not any(lines_of(install, job_id).values())


def test_a_failing_script_puts_the_job_into_error_until_it_succeeds(install: Install) -> None:
    script = b"#!/bin/sh\necho from a script\nexit 7\n"
    job = install.client.create(
        type="script", filename="fails.sh", executable=base64.b64encode(script).decode()
    )
    assert job["executable"].startswith(("file://", "s3://"))
    run = install.client.run_now(job["id"])
    assert (run["state"], run["exit_code"]) == ("failed", 7)
    assert install.client.output(run["id"]) == "from a script\n"
    assert install.client.get(f"/jobs/{job['id']}")["status"] == "error"


def test_an_admin_names_the_user_and_others_may_not(install: Install) -> None:
    wanted = install.user if isinstance(install, Embedded) else "daemon"
    refused = install.user_client.call(
        "POST", "/jobs", {"type": "command", "command": "id -un", "schedule": None, "run_as": wanted}
    )
    assert refused.status == 403, refused.body
    job = install.client.create(type="command", command="id -un", run_as=wanted)
    run = install.client.run_now(job["id"])
    assert install.client.output(run["id"]) == f"{wanted}\n"


def test_a_one_shot_runs_once_and_is_finished(install: Install) -> None:
    now = install.client.create(type="command", command="echo once", schedule="@once")
    at = datetime.now(UTC) + timedelta(seconds=4)
    later = install.client.create(type="command", command="echo later", schedule="@once", at=at.isoformat())
    for job in (now, later):
        wait_until(lambda job=job: install.client.get(f"/jobs/{job['id']}")["status"] == "finished", 30)
        (run,) = runs_of(install, job["id"])
        assert run["state"] == "succeeded"
    assert abs(datetime.fromisoformat(run["started_at"]) - at) < timedelta(seconds=2)
    wait_until(lambda: line_is_absent(install, later["id"]), 15)


def test_the_real_crond_files_a_tick_and_its_run_comes_back(
    install: Install, minutely: dict[str, Any]
) -> None:
    def filed() -> dict[str, Any] | None:
        ended = (run for run in runs_of(install, minutely["id"]) if run["state"] == "succeeded")
        return next((run for run in ended if run["started_by"] == "cron"), None)

    run = wait_until(filed, 150, every=0.5)
    assert run is not None
    assert install.client.output(run["id"]) == f"at {run['tick']} as {install.runs_as} 100% sure\n"
    assert install.client.output(run["id"], "stderr") == "oops\n"
    started, tick = (datetime.fromisoformat(run[field]) for field in ("started_at", "tick"))
    assert timedelta(0) <= started - tick < timedelta(seconds=5)


def test_no_tick_ran_twice(install: Install, minutely: dict[str, Any]) -> None:
    ticks = [run["tick"] for run in runs_of(install, minutely["id"])]
    assert len(ticks) == len(set(ticks))


def test_a_removed_job_leaves_the_crontab_and_is_finished(install: Install, minutely: dict[str, Any]) -> None:
    line_of(install, minutely["id"])
    assert install.client.call("DELETE", f"/jobs/{minutely['id']}").status == 204
    wait_until(lambda: line_is_absent(install, minutely["id"]), 15)
    assert install.client.get(f"/jobs/{minutely['id']}")["status"] == "finished"
