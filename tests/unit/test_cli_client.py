"""People's client on the command line, against the real API on a free port."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection
from support.office import TOKENS, Office, of_hand_run
from support.samples import NOW, new_job
from support.wait import wait_until

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import Embedded, serve_embedded
from cronkeeper.cli.jobs import job
from cronkeeper.cli.nodes import node
from cronkeeper.cli.runs import run
from cronkeeper.common.errors import Invalid, Unavailable
from cronkeeper.common.model import Output, RunState
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store import jobs as table
from cronkeeper.manager import reports, runs

Words = Callable[..., Result]
GROUPS: dict[str, click.Group] = {"job": job, "run": run, "node": node}


@pytest.fixture
def server(office: Office) -> Iterator[Embedded]:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = serve_embedded(office.app, listen("127.0.0.1", 0), threads=4)
    yield server
    server.close()


@pytest.fixture
def url(server: Embedded) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def say(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """Runs `cronkeeper …` in an empty folder, as an admin where the environment says nothing else."""
    monkeypatch.chdir(tmp_path)

    def say(group: str, *words: str, **environment: str | None) -> Result:
        fixed = {
            "CRONKEEPER_URL": url,
            "CRONKEEPER_TOKEN": TOKENS[Role.ADMIN],
            "CRONKEEPER_TOKEN_FILE": None,
        }
        return CliRunner().invoke(GROUPS[group], words, env=fixed | environment)

    return say


def made(say: Words, *words: str) -> dict[str, Any]:
    """What a word shows as JSON, known to have succeeded."""
    result = say(*words, "--json")
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_a_command_is_created_shown_listed_and_removed(say: Words) -> None:
    result = say(
        "job", "create", "--command", "/usr/bin/backup --all", "--schedule", "@daily", "--run-as", "root"
    )
    assert (result.exit_code, result.stdout) == (0, "job 1, backup, is created\n")

    shown = say("job", "show", "1").stdout
    assert "command       /usr/bin/backup --all\n" in shown
    assert "run as        root\n" in shown
    assert made(say, "job", "show", "1")["schedule"] == "@daily"
    assert say("job", "list").stdout.splitlines()[1].split()[:4] == ["1", "backup", "@daily", "scheduled"]

    result = say("job", "rm", "1")
    assert (result.exit_code, result.stdout) == (0, "job 1, backup, is removed\n")
    assert made(say, "job", "show", "1")["status"] == "finished"


def test_a_script_is_sent_with_its_name(say: Words, office: Office, tmp_path: Path) -> None:
    script = tmp_path / "report.sh"
    script.write_bytes(b"#!/bin/sh\n")
    assert (
        made(say, "job", "create", "--script", str(script), "--name", "my report")["filename"] == "report.sh"
    )

    (stored,) = office.jobs()
    assert (stored.name, stored.schedule) == ("my report", None)
    assert stored.artifact is not None
    assert stored.artifact.size == 10


def test_at_alone_means_once(say: Words) -> None:
    created = made(say, "job", "create", "--command", "true", "--at", "2030-01-31T12:00:00+01:00")
    assert (created["schedule"], created["at"]) == ("@once", "2030-01-31T11:00:00Z")


def test_all_pages_are_listed(say: Words, office: Office) -> None:
    count = 1001  # one more than a page

    def work(connection: Connection) -> None:
        for _ in range(count):
            table.insert(connection, new_job(), "ann", NOW)

    office.store.transaction(work)
    listed = json.loads(say("job", "list", "--json").stdout)
    assert [one["id"] for one in listed] == [str(number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["job", "show", "7"], 3, "there is no job 7"),
        (["job", "show", "x/../y"], 3, "there is no"),
        (["job", "run", "7"], 3, "there is no job 7"),
        (["job", "rm", "7"], 3, "there is no job 7"),
        (["job", "edit", "7", "--name", "x"], 3, "there is no job 7"),
        (["job", "duplicate", "7"], 3, "there is no job 7"),
        (["run", "list", "7"], 3, "there is no job 7"),
        (["run", "show", "7"], 3, "there is no run 7"),
        (["run", "wait", "7"], 3, "there is no run 7"),
        (["run", "output", "7"], 3, "there is no run 7"),
        (["node", "show", "none"], 3, "there is no node none"),
        (["job", "create", "--command", ""], 1, "command: it is empty"),
        (
            ["job", "create", "--command", "true", "--schedule", "often"],
            1,
            "schedule: 'often' is no schedule",
        ),
        (["node", "add", "No", "--key-file", "key"], 1, "name: a name of up to 63"),
    ],
)
def test_a_refusal_is_one_line_and_has_a_code(say: Words, words: list[str], code: int, said: str) -> None:
    result = say(*words)

    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["job", "create"],
        ["job", "create", "--command", "true", "--script", __file__],
        ["job", "create", "--script", "/no/such/file"],
        ["job", "list", "--url", "ftp://x"],
        ["job", "list", "--url", "http://"],
        ["job", "list", "--token-file", "nowhere"],
        ["job", "run", "1", "--wait", "-1"],
        ["run", "list", "1", "--limit", "0"],
        ["node", "add", "alpha"],
    ],
)
def test_wrong_usage_ends_with_2(say: Words, words: list[str]) -> None:
    assert say(*words).exit_code == 2


def test_no_server_ends_with_4_and_says_what_to_look_at(say: Words) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    result = say("job", "list", "--url", f"http://127.0.0.1:{port}")

    assert result.exit_code == 4
    assert f"no cronkeeper answers at http://127.0.0.1:{port}: start one" in result.stderr


@pytest.mark.parametrize(
    ("answer", "times", "said"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", 2, "oops"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", 1, "oops"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", 1, "none of cronkeeper's"),
        (b"", 2, "no answer came"),
    ],
)
def test_a_server_that_is_none_of_ours_ends_with_4(say: Words, answer: bytes, times: int, said: str) -> None:
    """What may have been lost on the way is asked for once more."""

    def serve(listener: socket.socket) -> None:
        for _ in range(times):
            with listener.accept()[0] as link:
                link.recv(65536)
                link.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        result = say("job", "list", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(10)

    assert result.exit_code == 4
    assert said in result.stderr


def test_a_part_that_is_away_ends_with_4(say: Words, office: Office) -> None:
    office.store.troubles.append(Unavailable("the database does not answer"))
    result = say("job", "list")

    assert result.exit_code == 4
    assert "the database does not answer" in result.stderr


def test_the_token_is_found_where_it_is_said_to_be(say: Words, tmp_path: Path) -> None:
    nothing = {"CRONKEEPER_TOKEN": None}
    result = say("job", "list", **nothing)
    assert result.exit_code == 1
    assert "Authorization: Bearer" in result.stderr

    (tmp_path / "good").write_text(TOKENS[Role.USER] + "\n")
    (tmp_path / "bad").write_text("wrong")
    (tmp_path / "binary").write_bytes(b"a\nb")
    assert say("job", "list", CRONKEEPER_TOKEN=None, CRONKEEPER_TOKEN_FILE="good").exit_code == 0
    assert say("job", "list", CRONKEEPER_TOKEN="wrong", CRONKEEPER_TOKEN_FILE="good").exit_code == 1
    assert say("job", "list", "--token-file", "good", CRONKEEPER_TOKEN="wrong").exit_code == 0
    assert say("job", "list", "--token-file", "bad").exit_code == 1
    assert say("job", "list", "--token-file", "binary").exit_code == 2

    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "admin.token").write_text(TOKENS[Role.ADMIN])
    assert say("job", "list", **nothing).exit_code == 0


def test_a_run_by_hand_is_only_asked_for(say: Words, office: Office) -> None:
    office.create()
    result = say("job", "run", "1")

    assert result.exit_code == 0
    assert result.stdout.endswith(": queued\n")


@pytest.mark.parametrize(
    ("state", "exit_code", "changes"),
    [
        (RunState.SUCCEEDED, 0, {}),
        (RunState.FAILED, 5, {"exit_code": 3}),
        (RunState.SKIPPED, 5, {"reason": "still_running"}),
        (RunState.LOST, 5, {"reason": "the node vanished"}),
    ],
)
def test_who_waits_learns_how_the_run_ended(
    say: Words, office: Office, state: RunState, exit_code: int, changes: dict[str, Any]
) -> None:
    office.create()
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(say("job", "run", "1", "--wait", "30")))
    thread.start()
    asked = wait_until(lambda: runs.listing(office.desk, 1, limit=1))[0]
    reports.accept(
        office.desk, "alpha", [of_hand_run({"id": asked.id, "job_id": "1"}, state, **changes)], NOW
    )
    thread.join(10)

    (result,) = results
    assert result.exit_code == exit_code
    assert f"run {asked.id}: {state}" in result.stdout
    assert str(changes.get("reason", "exit code")) in result.stdout


def test_who_waits_where_there_is_no_place_asks_again(make_office: Callable[..., Office], say: Words) -> None:
    office = make_office(max_waiters=0)
    office.create()
    server = serve_embedded(office.app, listen("127.0.0.1", 0), threads=2)
    address = f"http://127.0.0.1:{server.port}"
    results: list[Result] = []
    thread = threading.Thread(
        target=lambda: results.append(say("job", "run", "1", "--wait", "30", "--url", address))
    )
    thread.start()
    asked = wait_until(lambda: runs.listing(office.desk, 1, limit=1))[0]
    reports.accept(
        office.desk, "alpha", [of_hand_run({"id": asked.id, "job_id": "1"}, RunState.SUCCEEDED)], NOW
    )
    thread.join(10)
    server.close()

    assert results[0].exit_code == 0


def test_a_run_that_is_not_over_in_time_ends_with_6(say: Words, office: Office) -> None:
    office.create()
    assert say("job", "run", "1", "--wait", "0.1").exit_code == 6


def test_runs_and_their_outputs_are_shown(say: Words, office: Office) -> None:
    office.create()
    asked = made(say, "job", "run", "1")
    written = {"stdout": Output(size=3, data=b"\xff\0\n"), "stderr": Output(size=5000, data=b"head")}
    reports.accept(office.desk, "alpha", [of_hand_run(asked, RunState.FAILED, exit_code=3, **written)], NOW)

    lines = say("run", "list", "1").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [[asked["id"], "failed", "3", "alpha"]]
    assert made(say, "run", "show", asked["id"])["exit_code"] == 3
    assert "state         failed\n" in say("run", "show", asked["id"]).stdout
    assert say("run", "output", asked["id"]).stdout_bytes == b"\xff\0\n"
    errors = say("run", "output", asked["id"], "--stderr")
    assert errors.stdout_bytes == b"head"
    assert "of the 5000 bytes" in errors.stderr


def test_a_job_is_edited_paused_resumed_and_duplicated(say: Words, office: Office) -> None:
    office.create()
    edited = made(say, "job", "edit", "1", "--timeout", "15m", "--env", "A=1", "--schedule", "@daily")
    assert (edited["timeout"], edited["env"], edited["schedule"]) == (900.0, {"A": "1"}, "@daily")
    assert made(say, "job", "edit", "1", "--clear", "timeout", "--env", "B=2")["env"] == {"A": "1", "B": "2"}

    assert [one["enabled"] for one in json.loads(say("job", "pause", "1", "--json").stdout)] == [False]
    assert say("job", "list", "--disabled").stdout.splitlines()[1].split()[3] == "paused"
    assert say("job", "resume", "1").exit_code == 0
    assert made(say, "job", "duplicate", "1", "--name", "twin")["name"] == "twin"
    assert [one["id"] for one in json.loads(say("job", "list", "--sort", "-id", "--json").stdout)] == [
        "2",
        "1",
    ]


def test_a_job_with_everything_is_accepted(say: Words, office: Office, tmp_path: Path) -> None:
    office.add_node()
    (tmp_path / "tool").write_bytes(b"\x7fELF")
    words = (
        "--binary tool --arg a --env A=1 --schedule @hourly --timezone Europe/Paris --node alpha --grace 5s"
    )
    policies = (
        "--concurrency allow --catch-up latest --max-lateness 2h --disabled --stdin-file tool --timeout 1h"
    )
    created = made(say, "job", "create", *words.split(), *policies.split())

    assert (created["type"], created["args"], created["node"]) == ("binary", ["a"], "alpha")
    assert (created["enabled"], created["grace"], created["max_lateness"]) == (False, 5.0, 7200.0)


def test_a_node_gets_a_key_that_only_its_owner_can_read(say: Words, office: Office, tmp_path: Path) -> None:
    result = say("node", "add", "alpha", "--key-file", "alpha.key")

    assert (result.exit_code, result.stdout) == (0, "node alpha is added; its key is in alpha.key\n")
    path = tmp_path / "alpha.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert office.report("alpha", NodeKey.load(path), []).status_code == 200
    assert say("node", "list").stdout.splitlines()[1].split()[:3] == ["alpha", "no", "0"]


def test_a_key_is_never_overwritten(say: Words, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("precious")
    result = say("node", "add", "alpha", "--key-file", "key")

    assert result.exit_code == 1
    assert "never overwritten" in result.stderr
    assert (tmp_path / "key").read_text() == "precious"


def test_the_key_of_a_node_that_was_not_added_is_removed(say: Words, tmp_path: Path) -> None:
    say("node", "add", "alpha", "--key-file", "first")

    assert say("node", "add", "alpha", "--key-file", "second").exit_code == 1
    assert (
        say("node", "add", "beta", "--key-file", "third", CRONKEEPER_TOKEN=TOKENS[Role.USER]).exit_code == 1
    )
    assert say("node", "add", "gamma", "--key-file", "no/such/folder").exit_code == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["first"]


def test_what_would_drive_a_terminal_is_escaped(say: Words) -> None:
    made(say, "job", "create", "--command", "echo \x1b[31m", "--name", "red")

    assert r"echo \x1b[31m" in say("job", "show", "1").stdout


def test_a_port_that_is_taken_is_named(office: Office, server: Embedded) -> None:
    with pytest.raises(Invalid, match=rf"port {server.port} on 127.0.0.1 is taken: .*PORT={server.port + 1}"):
        serve_embedded(office.app, listen("127.0.0.1", server.port))


def test_an_address_of_another_machine_is_refused(office: Office) -> None:
    with pytest.raises(Invalid, match=r"nothing can listen on port 0 of 192\.0\.2\.1"):
        serve_embedded(office.app, listen("192.0.2.1", 0))


def test_a_closed_server_has_freed_its_port(office: Office) -> None:
    first = serve_embedded(office.app, listen("127.0.0.1", 0))
    first.close()
    serve_embedded(office.app, listen("127.0.0.1", first.port)).close()
