"""What the words about jobs send to the API, and what they make of its answers."""

import base64
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.fake_api import JOB, LOST, FakeApi, Given

from cronkeeper.cli.main import main
from cronkeeper.common.model import CatchUp, Concurrency, JobStatus, JobType, RunState
from cronkeeper.common.store.job_query import JobSort

Words = Callable[..., Result]
OUTDATED = Given(412, {"detail": "the job is at revision 8"})


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """Runs `cronkeeper …` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")

    def say(line: str, stdin: str | None = None, **environment: str | None) -> Result:
        fixed = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token", "VISUAL": None, "EDITOR": None}
        return CliRunner().invoke(main, shlex.split(line), input=stdin, env=fixed | environment)

    return say


def job(**changes: Any) -> Given:
    """The answer that shows job 3, or one that differs from it."""
    made = JOB | changes
    return Given(200, made, {"ETag": f'"{made["rev"]}"'})


def editor(folder: Path, *steps: str) -> str:
    """An editor that does one of these steps, in Python on `text`, each time that it is opened."""
    (folder / "steps.json").write_text(json.dumps(steps))
    program = folder / "editor.py"
    program.write_text(
        "import json, pathlib, sys\n"
        f"left = pathlib.Path({str(folder / 'steps.json')!r})\n"
        "steps = json.loads(left.read_text())\n"
        "left.write_text(json.dumps(steps[1:]))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "names = {'text': path.read_text()}\n"
        "exec(steps[0], names)\n"
        "path.write_text(names['text'])\n"
    )
    return f"{sys.executable} {program}"


def test_every_option_becomes_a_field_of_the_api(say: Words, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_bytes(b"#!/usr/bin/python3\n")
    (tmp_path / "vars").write_text("# ours\n\nA=1\nB=x = y\n")
    (tmp_path / "input").write_text("häl\nlo")
    api.answer("POST", "/jobs", job())
    result = say(
        "job create --script report.py --arg=-v --arg 'a b' --shell /usr/bin/python3 --env-file vars --env A=2"
        " --stdin-file input --schedule '0 3 * * *' --timezone Europe/Berlin --name report --node alpha"
        " --requires disk=ssd --requires site=a --requires disk=hdd"
        " --run-as www --timeout 15m --grace 90 --concurrency allow --catch-up latest --max-lateness 2h"
        " --max-output 10M --disabled"
    )

    assert (result.exit_code, result.output) == (0, "job 3, backup, is created\n")
    assert api.asked[0].body == {
        "type": "script",
        "executable": base64.b64encode(b"#!/usr/bin/python3\n").decode(),
        "filename": "report.py",
        "args": ["-v", "a b"],
        "shell": "/usr/bin/python3",
        "env": {"A": "2", "B": "x = y"},
        "stdin": "häl\nlo",
        "schedule": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "name": "report",
        "node": "alpha",
        "requires": {"disk": "hdd", "site": "a"},
        "run_as": "www",
        "timeout": 900.0,
        "grace": 90.0,
        "concurrency": "allow",
        "catch_up": "latest",
        "max_lateness": 7200.0,
        "max_output": 10485760,
        "enabled": False,
    }


def test_a_program_may_come_from_standard_input(say: Words, api: FakeApi) -> None:
    api.answer("POST", "/jobs", job())
    assert say("job create --binary - --at 2030-01-31T12:00:00Z", stdin="elf").exit_code == 0

    encoded = base64.b64encode(b"elf").decode()
    at = "2030-01-31T12:00:00Z"
    assert api.asked[0].body == {"type": "binary", "executable": encoded, "at": at, "schedule": "@once"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "give what to run"),
        ("--command true --script steps", "give only one of"),
        ("--command true --max-output 1T", "'1T' is no size: such as 4096, 64K, 10M or 1G is expected"),
        ("--command true --timeout 5x", "'5x' is no duration: such as 90, 90s, 15m, 2h or 1d is expected"),
        ("--command true --env A", "NAME=VALUE is expected"),
        ("--command true --requires disk", "'disk' is no label: KEY=VALUE is expected"),
        ("--command true --env 1=2", "--env: '1' is"),
        ("--command true --env-file steps", "steps: 'no pair' is"),
        ("--command true --stdin-file latin", "latin is no text in UTF-8"),
        ("--command true --concurrency maybe", "'forbid', 'allow'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(
    say: Words, api: FakeApi, tmp_path: Path, options: str, said: str
) -> None:
    (tmp_path / "steps").write_text("no pair\n")
    (tmp_path / "latin").write_bytes(b"\xe4")
    result = say(f"job create {options}")

    assert result.exit_code == 2
    assert said in result.stderr
    assert api.asked == []


def test_the_choices_are_the_words_of_the_model(say: Words) -> None:
    from cronkeeper.cli import fields, jobs, runs

    assert tuple(JobType) == fields.TYPES
    assert tuple(Concurrency) == fields.CONCURRENCY
    assert tuple(CatchUp) == fields.CATCH_UP
    assert tuple(JobStatus) == jobs.STATUSES
    assert {sort.removeprefix("-") for sort in jobs.SORTS} == set(JobSort)
    assert tuple(RunState) == runs.STATES


def test_a_creation_whose_answer_was_lost_is_repeated_once_under_the_same_key(
    say: Words, api: FakeApi
) -> None:
    api.answer("POST", "/jobs", Given(LOST), job())
    assert say("job create --command true").exit_code == 0
    keys = [asked.headers["Idempotency-Key"] for asked in api.asked]
    assert len(keys) == 2
    assert len(set(keys)) == 1

    api.answer("POST", "/jobs", Given(LOST))
    result = say("job create --command true")
    assert (result.exit_code, len(api.asked)) == (4, 4)
    assert "no answer came from" in result.stderr
    assert api.asked[3].headers["Idempotency-Key"] not in keys


def test_an_edit_sends_what_was_given_against_the_revision_that_was_read(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", job())
    api.answer("PATCH", "/jobs/3", job(rev=8))
    result = say("job edit 3 --command 'date -u' --env B=2 --enabled --timeout 2h --clear schedule")

    assert (result.exit_code, result.output) == (0, "job 3, backup, is changed\n")
    sent = api.asked[1]
    assert sent.headers["If-Match"] == '"7"'
    assert sent.body == {
        "command": "date -u",
        "env": {"LEVEL": "9", "B": "2"},
        "enabled": True,
        "timeout": 7200.0,
        "schedule": None,
    }


@pytest.mark.parametrize(
    "options", ["--timeout 5 --clear timeout", "--clear arg --arg x", "--stdin-file - --clear stdin"]
)
def test_what_is_both_given_and_cleared_is_refused(say: Words, api: FakeApi, options: str) -> None:
    result = say(f"job edit 3 {options}", stdin="x")
    assert (result.exit_code, api.asked) == (2, [])
    assert "leave one of them out" in result.stderr


def test_an_edit_that_comes_to_nothing_opens_no_editor(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", job())
    result = say("job edit 3 --env-file /dev/null", EDITOR="false")
    assert (result.exit_code, result.output) == (0, "job 3, backup, is as it was\n")


def test_an_edit_may_begin_with_an_empty_environment_and_with_another_type(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", job())
    api.answer("PATCH", "/jobs/3", job())
    assert say("job edit 3 --clear env --env B=2 --script -", stdin="#!").exit_code == 0
    assert api.asked[1].body == {"env": {"B": "2"}, "type": "script", "executable": "IyE="}


def test_an_edit_adds_to_the_labels_or_takes_them_and_the_node_away(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", job(requires={"disk": "ssd", "site": "a"}))
    api.answer("PATCH", "/jobs/3", job())
    assert say("job edit 3 --requires site=b").exit_code == 0
    assert api.asked[1].body == {"requires": {"disk": "ssd", "site": "b"}}
    assert say("job edit 3 --clear requires --clear node").exit_code == 0
    assert api.asked[3].body == {"requires": {}, "node": None}


def test_who_edits_what_another_has_changed_is_told_so(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", job())
    api.answer("PATCH", "/jobs/3", OUTDATED)
    result = say("job edit 3 --name other")

    assert result.exit_code == 7
    assert "somebody else has changed job 3 meanwhile" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_editor_shows_the_fields_and_only_what_differs_is_sent(
    say: Words, api: FakeApi, tmp_path: Path
) -> None:
    api.answer("GET", "/jobs/3", job())
    api.answer("PATCH", "/jobs/3", job())
    step = "assert 'executable' not in text and 'args' not in text; text = text.replace('*/5', '*/7')"
    result = say("job edit 3", EDITOR=editor(tmp_path, step))

    assert result.output == "job 3, backup, is changed\n"
    assert api.asked[1].body == {"schedule": "*/7 * * * *"}
    assert api.asked[1].headers["If-Match"] == '"7"'


def test_an_editor_that_changes_nothing_sends_nothing(say: Words, api: FakeApi, tmp_path: Path) -> None:
    api.answer("GET", "/jobs/3", job())
    result = say("job edit 3", EDITOR=editor(tmp_path, "text = '# a remark' + chr(10) + text"))

    assert (result.exit_code, result.output) == (0, "job 3, backup, is as it was\n")
    assert say("job edit 3", EDITOR="true").exit_code == 0
    assert {asked.method for asked in api.asked} == {"GET"}


@pytest.mark.parametrize("strange", ["\u2028", "\x85"])
def test_the_editor_leaves_texts_whole_that_have_other_ends_of_lines_in_them(
    say: Words, api: FakeApi, tmp_path: Path, strange: str
) -> None:
    api.answer("GET", "/jobs/3", job(stdin=f"old{strange}# text"))
    api.answer("PATCH", "/jobs/3", job())
    assert say("job edit 3", EDITOR=editor(tmp_path, "text = text.replace('old', 'new')")).exit_code == 0
    assert api.asked[1].body == {"stdin": f"new{strange}# text"}


def test_the_editor_opens_again_with_the_reason_of_a_refusal(
    say: Words, api: FakeApi, tmp_path: Path
) -> None:
    api.answer("GET", "/jobs/3", job())
    wrong = Given(422, {"detail": "not accepted", "errors": {"schedule": ["'often' is no schedule"]}})
    api.answer("PATCH", "/jobs/3", wrong, job())
    steps = (
        "text = text.replace('*/5 * * * *', 'often').replace('{', '[')",
        "assert 'NOT ACCEPTED: this is no JSON' in text; text = text.replace('[', '{')",
        "assert 'NOT ACCEPTED: schedule:' in text; text = text.replace('often', '@daily')",
    )
    assert say("job edit 3", EDITOR=editor(tmp_path, *steps)).exit_code == 0
    assert [asked.body for asked in api.asked] == [None, {"schedule": "often"}, {"schedule": "@daily"}]


def test_an_editor_that_is_closed_after_a_refusal_gives_up(say: Words, api: FakeApi, tmp_path: Path) -> None:
    api.answer("GET", "/jobs/3", job())
    result = say("job edit 3", EDITOR=editor(tmp_path, "text = '[]'", "text = text.replace('!', '?')"))

    assert (result.exit_code, result.stdout) == (1, "")
    assert "an object in braces is expected" in result.stderr
    assert say("job edit 3").exit_code == 2


def test_the_editor_does_not_take_a_missing_line_for_a_wish(say: Words, api: FakeApi, tmp_path: Path) -> None:
    api.answer("GET", "/jobs/3", job())
    gone = (
        "import json; text = json.loads(text.split(chr(10), 1)[1]); del text['name']; text = json.dumps(text)"
    )
    result = say("job edit 3", EDITOR=editor(tmp_path, gone, "text = text + chr(10)"))

    assert (result.exit_code, len(api.asked)) == (1, 1)
    assert "name: the line is gone; null takes a value away" in result.stderr


def test_what_was_written_in_vain_in_an_editor_is_not_lost(say: Words, api: FakeApi, tmp_path: Path) -> None:
    api.answer("GET", "/jobs/3", job())
    api.answer("PATCH", "/jobs/3", OUTDATED)
    result = say("job edit 3", EDITOR=editor(tmp_path, "text = text.replace('*/5', '*/7')"))

    assert result.exit_code == 7
    assert '"schedule": "*/7 * * * *"' in result.stderr


def test_pages_are_followed_until_there_are_enough(say: Words, api: FakeApi) -> None:
    more = {"Link": '</jobs?cursor=x>; rel="next"'}
    api.answer("GET", "/jobs?limit=1000", Given(200, [JOB], more))
    api.answer("GET", "/jobs?cursor=x", Given(200, [JOB | {"id": "4"}]))
    assert [one["id"] for one in json.loads(say("job list --json").stdout)] == ["3", "4"]

    api.answer("GET", "/jobs?limit=1", Given(200, [JOB], more))
    assert len(json.loads(say("job list --json --limit 1").stdout)) == 1
    query = "limit=5&status=error&type=script&node=alpha&name=a+b&enabled=false&sort=name"
    api.answer("GET", f"/jobs?{query}", Given(200, []))
    words = "--limit 5 --status error --type script --node alpha --name 'a b' --disabled --sort name"
    assert json.loads(say(f"job list {words} --json").stdout) == []


def test_several_jobs_are_dealt_with_though_one_is_missing(say: Words, api: FakeApi) -> None:
    for number in ("3", "5"):
        api.answer("POST", f"/jobs/{number}/pause", job(id=number, enabled=False))
    result = say("job pause 3 4 5")
    assert (result.exit_code, result.stdout) == (3, "job 3, backup, is paused\njob 5, backup, is paused\n")
    assert result.stderr == "Error: there is nothing at /jobs/4/pause\n"
    assert [one["id"] for one in json.loads(say("job pause 3 4 5 --json").stdout)] == ["3", "5"]


def test_jobs_are_removed_resumed_and_duplicated(say: Words, api: FakeApi) -> None:
    api.answer("DELETE", "/jobs/3", Given(204))
    api.answer("GET", "/jobs/3", job(status="finished"))
    assert say("job rm 3").stdout == "job 3, backup, is removed\n"
    assert json.loads(say("job rm 3 --json").stdout)[0]["status"] == "finished"

    api.answer("POST", "/jobs/3/resume", job())
    assert say("job resume 3").stdout == "job 3, backup, is resumed\n"

    api.answer("POST", "/jobs/3/duplicate", Given(201, JOB | {"id": "4"}))
    assert say("job duplicate 3 --name again").stdout == "job 4, backup, is created\n"
    assert say("job duplicate 3").exit_code == 0
    assert [asked.body for asked in api.asked[-2:]] == [{"name": "again"}, {}]


def test_what_is_refused_is_told_in_one_line(say: Words, api: FakeApi) -> None:
    wrong = {
        "detail": "not accepted as it is: grace, name",
        "errors": {"grace": ["too long"], "name": ["empty"]},
    }
    api.answer("POST", "/jobs", Given(422, wrong))
    result = say("job create --command true --json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: grace: too long; name: empty\n"


def test_a_wait_outlasts_an_api_that_is_restarted(say: Words, api: FakeApi) -> None:
    seen = {"id": "r", "state": "running", "exit_code": None, "reason": None}
    api.answer("GET", "/runs/r", Given(200, seen), Given(LOST), Given(200, seen | {"state": "succeeded"}))
    result = say("run wait r --timeout 1m")
    assert (result.exit_code, result.stdout) == (0, "run r: succeeded\n")


@pytest.mark.parametrize(("state", "code"), [("failed", 5), ("lost", 5), ("running", 6)])
def test_the_exit_code_of_a_wait_tells_how_the_run_ended(
    say: Words, api: FakeApi, state: str, code: int
) -> None:
    api.answer("GET", "/runs/r", Given(200, {"id": "r", "state": state, "exit_code": 3, "reason": None}))
    result = say("run wait r --timeout 0 --json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["state"] == state


def test_the_embedded_install_in_this_folder_is_found(say: Words, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "url").write_text(f"{api.url}\n")
    (tmp_path / "var" / "admin.token").write_text("of the home\n")
    api.answer("GET", "/nodes", Given(200, []))
    nowhere = {"CRONKEEPER_URL": None, "CRONKEEPER_TOKEN": None}

    assert say("node list", **nowhere).exit_code == 0
    assert api.asked[-1].headers["Authorization"] == "Bearer of the home"
    assert say("node list --token mine", CRONKEEPER_TOKEN=None).exit_code == 0
    assert api.asked[-1].headers["Authorization"] == "Bearer mine"
    asked = len(api.asked)
    say("node list --token mine", **nowhere)
    assert len(api.asked) == asked, "a token goes nowhere because of a file that lies about"
    assert say("node list --token mine --token-file x").exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(say: Words, shell: str) -> None:
    assert "_CRONKEEPER_COMPLETE" in say(f"completion {shell}").stdout


def test_only_one_option_can_read_standard_input(say: Words) -> None:
    result = say("job create --script - --stdin-file -", stdin="x")
    assert result.exit_code == 2
    assert "only one option can read standard input" in result.stderr
