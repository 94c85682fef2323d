"""What the command line repeats, and the id by which each of its requests is known."""

import re
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner, Result
from support.fake_api import JOB, LOST, FakeApi, Given

from cronkeeper.cli.jobs import job
from cronkeeper.cli.runs import run

Say = Callable[[str], Result]
GROUPS: dict[str, click.Group] = {"job": job, "run": run}
RUN = {"id": "r", "state": "queued", "exit_code": None, "reason": None}
GATEWAY = Given(502, {"detail": "the API server gave no answer"})


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    yield fake
    fake.close()


@pytest.fixture
def say(api: FakeApi) -> Say:
    def say(words: str) -> Result:
        group, *rest = words.split()
        return CliRunner().invoke(
            GROUPS[group], rest, env={"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "t"}
        )

    return say


@pytest.mark.parametrize("lost", [Given(LOST), GATEWAY, Given(504, {"detail": "too long"})])
@pytest.mark.parametrize(
    ("words", "path", "answer"),
    [
        ("job duplicate 3", "/jobs/3/duplicate", Given(201, JOB)),
        ("job run 3", "/jobs/3/runs?wait=0", Given(202, RUN)),
    ],
)
def test_what_is_to_be_done_once_is_repeated_under_its_key(
    say: Say, api: FakeApi, lost: Given, words: str, path: str, answer: Given
) -> None:
    api.answer("POST", path, lost, answer)
    assert say(words).exit_code == 0
    first, second = (asked.headers for asked in api.asked)
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert first["X-Request-Id"] == second["X-Request-Id"], "one request, however often it is sent"


def test_a_look_is_repeated_once(say: Say, api: FakeApi) -> None:
    api.answer("GET", "/runs/r", Given(LOST), Given(200, RUN))
    assert say("run show r").exit_code == 0
    api.answer("GET", "/runs/r", GATEWAY)
    assert say("run show r").exit_code == 4
    assert len(api.asked) == 4


def test_what_can_not_be_told_from_a_second_time_is_sent_once(say: Say, api: FakeApi) -> None:
    api.answer("DELETE", "/jobs/3", Given(LOST))
    assert say("job rm 3").exit_code == 4
    assert len(api.asked) == 1


@pytest.mark.parametrize("answer", [Given(LOST), GATEWAY, Given(503, {"detail": "SQL is away"})])
def test_a_failure_names_the_request_as_the_log_knows_it(say: Say, api: FakeApi, answer: Given) -> None:
    api.answer("GET", "/runs/r", answer)
    failed = say("run show r")
    number = api.asked[-1].headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{16}", number)
    assert failed.stderr.endswith(f"[request {number}]\n")


def test_a_refusal_explains_itself(say: Say) -> None:
    assert "request" not in say("run show r").stderr
