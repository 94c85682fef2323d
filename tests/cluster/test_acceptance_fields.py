"""What a job may say of itself is honoured, the same on every install."""

import base64
from typing import Any

from support.installs import Embedded, Testbed
from support.wait import wait_until

Install = Embedded | Testbed

SCRIPT = b"""#!/bin/sh
echo "$0: $1|$2|$WORD|$(cat)"
"""


def ran(install: Install, **job: Any) -> tuple[dict[str, Any], str]:
    """A job's run by hand, and what it wrote."""
    made = install.client.create(**job)
    run = install.client.run_now(made["id"])
    return run, install.client.output(run["id"])


def node_of(install: Install) -> str:
    return str(install.client.get("/nodes")[0]["name"])


def lines_of(install: Install, job_id: str) -> list[str]:
    marker = f"# cronkeeper {job_id} "
    return [line for table in install.crontabs().values() for line in table.splitlines() if marker in line]


def test_a_command_has_its_environment_its_input_and_its_shell(install: Install) -> None:
    command = 'read -r line; echo "$WORD: $line as $0; $CRONKEEPER_JOB_ID"'
    run, wrote = ran(
        install,
        type="command",
        command=command,
        shell="/bin/bash",
        env={"WORD": "50% \u00e9", "PATH": "/nowhere"},
        stdin="first\nsecond\n",
    )
    assert run["state"] == "succeeded"
    assert wrote == f"50% \u00e9: first as /bin/bash; {run['job_id']}\n"


def test_a_script_has_arguments_and_input_too(install: Install) -> None:
    run, wrote = ran(
        install,
        type="script",
        executable=base64.b64encode(SCRIPT).decode(),
        args=["one two", "$HOME"],
        env={"WORD": "w"},
        stdin="in",
    )
    assert run["state"] == "succeeded"
    assert wrote.endswith(": one two|$HOME|w|in\n")


def test_a_binary_is_run_as_it_is(install: Install) -> None:
    with open("/bin/echo", "rb") as file:  # noqa: PTH123
        content = base64.b64encode(file.read()).decode()
    _, wrote = ran(install, type="binary", executable=content, filename="echo", args=["-n", "hello"])
    assert wrote == "hello"


def test_a_run_that_lasts_too_long_is_ended_and_says_so(install: Install) -> None:
    run, wrote = ran(install, type="command", command="echo begun; sleep 60", timeout=1)
    assert (run["state"], wrote) == ("timed_out", "begun\n")
    run, _ = ran(
        install, type="command", command="trap '' TERM; sleep 60 & wait; sleep 60", timeout=0.5, grace=1
    )
    assert run["state"] == "timed_out"


def test_a_job_that_names_its_node_is_there(install: Install) -> None:
    node = node_of(install)
    job = install.client.create(type="command", command="true", node=node)
    wait_until(lambda: install.client.get(f"/jobs/{job['id']}")["assigned_node"] == node, 15)
    refused = install.client.call(
        "POST", "/jobs", {"type": "command", "command": "true", "schedule": None, "node": "nobody-knows"}
    )
    assert refused.status == 422
    assert "nobody-knows" in refused.body.decode()


def test_a_job_is_paused_and_resumed_and_its_line_goes_and_comes(install: Install) -> None:
    job = install.client.create(type="command", command="true", schedule="0 0 1 1 *", name="seldom")
    wait_until(lambda: lines_of(install, job["id"]), 15)
    assert install.client.call("POST", f"/jobs/{job['id']}/pause").json["enabled"] is False
    wait_until(lambda: not lines_of(install, job["id"]), 15)
    assert install.client.call("POST", f"/jobs/{job['id']}/resume").json["enabled"] is True
    wait_until(lambda: lines_of(install, job["id"]), 15)


def test_an_edit_reaches_the_crontab_and_the_next_run(install: Install) -> None:
    job = install.client.create(type="command", command="echo old", schedule="0 0 1 1 *")
    wait_until(lambda: lines_of(install, job["id"]), 15)
    change = {"schedule": "5 4 * * *", "command": "echo new", "name": "new name"}
    edited = install.client.call("PATCH", f"/jobs/{job['id']}", change)
    assert edited.status == 200, edited.body
    assert edited.json["rev"] == job["rev"] + 1
    wait_until(lambda: [line[:9] for line in lines_of(install, job["id"])] == ["5 4 * * *"], 15)
    run = install.client.run_now(job["id"])
    assert install.client.output(run["id"]) == "new\n"


def test_a_duplicate_is_a_job_of_its_own(install: Install) -> None:
    job = install.client.create(type="command", command="echo twin", name="twin")
    copy = install.client.call("POST", f"/jobs/{job['id']}/duplicate").json
    assert copy["id"] != job["id"]
    run = install.client.run_now(copy["id"])
    assert install.client.output(run["id"]) == "twin\n"


WRITES = """#!/bin/sh
i=0
while [ $i -lt 100000 ]; do
    printf 'line %045d\\n' $i
    i=$((i + 1))
done
echo the end >&2
"""
WROTE = b"".join(b"line %045d\n" % number for number in range(100_000))


def output_of(install: Install, run_id: str) -> bytes:
    answer = install.client.call("GET", f"/runs/{run_id}/stdout")
    assert answer.status == 200, answer.body
    assert answer.headers["Cronkeeper-Output-Size"] == str(len(WROTE))
    return answer.body


def test_five_megabytes_of_output_are_kept_whole_and_of_a_smaller_cap_both_ends(install: Install) -> None:
    script = base64.b64encode(WRITES.encode()).decode()
    job = install.client.create(type="script", executable=script)
    run = install.client.run_now(job["id"])
    assert run["state"] == "succeeded"
    assert output_of(install, run["id"]) == WROTE
    assert install.client.output(run["id"], "stderr") == "the end\n"

    edited = install.client.call("PATCH", f"/jobs/{job['id']}", {"max_output": 1024**2})
    assert edited.json["max_output"] == 1024**2
    run = install.client.run_now(job["id"])
    kept = output_of(install, run["id"])
    head, _, rest = kept.partition(b"\n[cronkeeper: ")
    left_out, _, tail = rest.partition(b" bytes left out here]\n")
    assert len(kept) <= 1024**2 < len(kept) + 100
    assert WROTE.startswith(head)
    assert WROTE.endswith(tail)
    assert (int(left_out), len(tail)) == (len(WROTE) - len(head) - len(tail), 16 * 1024)
