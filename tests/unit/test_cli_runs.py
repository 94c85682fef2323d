"""What people are told of runs that ended badly, or never began."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.fake_api import JOB, FakeApi, Given

from cronkeeper.cli.main import main

Words = Callable[..., Result]
RUN: dict[str, Any] = {
    "id": "r",
    "job_id": "3",
    "state": "failed",
    "started_at": None,
    "ended_at": "2030-01-31T11:00:01Z",
    "exit_code": None,
    "reason": "there is no user 'www' here",
}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi) -> Words:
    environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token"}
    return lambda *words: CliRunner().invoke(main, words, env=environment)


def last_run(**changes: Any) -> Given:
    return Given(200, JOB | {"last_run": JOB["last_run"] | {"id": "r"} | changes})


def test_a_job_shows_why_its_last_run_failed(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", last_run(exit_code=None, started_at=None))
    api.answer("GET", "/runs/r", Given(200, RUN))
    shown = say("job", "show", "3").stdout.splitlines()
    line = next(number for number, text in enumerate(shown) if text.startswith("last run "))
    assert shown[line + 1].strip() == "there is no user 'www' here"

    api.answer("GET", "/jobs/3", last_run())
    api.answer("GET", "/runs/r", Given(200, RUN | {"exit_code": 2, "reason": None}))
    assert say("job", "show", "3").stdout.splitlines()[line + 1].strip() == "exit code 2"


def test_a_job_is_shown_though_its_last_run_was_removed_meanwhile(say: Words, api: FakeApi) -> None:
    api.answer("GET", "/jobs/3", last_run())
    assert say("job", "show", "3").exit_code == 0


def test_a_run_that_succeeded_or_a_job_without_one_is_not_asked_for_a_reason(
    say: Words, api: FakeApi
) -> None:
    api.answer(
        "GET", "/jobs/3", last_run(state="succeeded", exit_code=0), Given(200, JOB | {"last_run": None})
    )
    assert say("job", "show", "3").exit_code == say("job", "show", "3").exit_code == 0
    assert {asked.path for asked in api.asked} == {"/jobs/3"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "it never started, and there is nothing that it wrote: run r: failed: there is no user 'www' here\n",
        ),
        (
            {"state": "skipped", "reason": "paused"},
            "it never started, and there is nothing that it wrote: run r: skipped: paused\n",
        ),
        (
            {"state": "lost", "reason": "the node vanished"},
            "it is not known to have started, and there is nothing that it wrote: run r: lost: the node vanished\n",
        ),
        ({"started_at": "2030-01-31T11:00:00Z"}, ""),
        ({"state": "queued", "ended_at": None, "reason": None}, ""),
    ],
)
def test_the_output_of_a_run_that_never_started_is_explained(
    say: Words, api: FakeApi, changes: dict[str, Any], said: str
) -> None:
    api.answer("GET", "/runs/r/stdout", Given(200))
    api.answer("GET", "/runs/r", Given(200, RUN | changes))
    result = say("run", "output", "r")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
