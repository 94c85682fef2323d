"""What `cronkeeper job ledger` asks for, and how it tells it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.fake_api import FakeApi, Given

from cronkeeper.api.examples import LEDGER
from cronkeeper.cli.ledger import RESULTS
from cronkeeper.cli.main import main
from cronkeeper.common import ledger

Words = Callable[..., Result]
NOT_RAN = "result=late%2Cskipped%2Clost%2Copen%2Cunaccounted%2Cunknown"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


@pytest.fixture
def say(api: FakeApi) -> Words:
    environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token", "TZ": "UTC"}
    return lambda *words: CliRunner().invoke(main, words, env=environment)


def given(**changes: Any) -> Given:
    return Given(200, LEDGER | {"unvouched": []} | changes)


def test_it_knows_the_results_that_there_are() -> None:
    assert tuple(ledger.Result) == RESULTS


def test_what_did_not_simply_run_is_a_table_and_the_rest_a_sentence(say: Words, api: FakeApi) -> None:
    api.answer("GET", f"/jobs/42/ledger?{NOT_RAN}", given(ticks=LEDGER["ticks"][:1]))
    said = say("job", "ledger", "42")
    assert said.exit_code == 0, said.output
    titles, row, summary = said.stdout.splitlines()
    assert titles.split() == ["TICK", "RESULT", "LATE", "BY", "STATE", "NODE", "RUN", "REASON"]
    assert "01:30 " in row
    assert row.split()[-6:] == ["skipped", "-", "skipped", "db1", "42.1.20300130T013000Z.1", "still_running"]
    assert summary == ("2 ticks were due: 1 ran, 1 skipped; from tick to start: p50 1.1s, p99 1.1s, max 1.1s")


def test_all_ticks_of_any_time_can_be_asked_for(say: Words, api: FakeApi) -> None:
    path = "/jobs/42/ledger?from=2030-01-30T00%3A00%3A00%2B01%3A00&to=2030-01-31T00%3A00%3A00Z"
    strange = LEDGER["ticks"][1] | {"expected": False, "result": "late", "lateness": 61.25}
    api.answer("GET", path, given(ticks=[strange], summary=LEDGER["summary"] | {"unexpected": 1}))
    said = say(
        "job", "ledger", "42", "--all", "--from", "2030-01-30T00:00:00+01:00", "--to", "2030-01-31T00:00:00Z"
    )
    assert "late, unexpected" in said.stdout
    assert "61.2s" in said.stdout
    assert "; 1 more ran unexpectedly; from tick" in said.stdout


def test_where_all_is_well_there_is_no_table(say: Words, api: FakeApi) -> None:
    summary = LEDGER["summary"] | {"ran": 2, "skipped": 0, "lateness": None}
    api.answer("GET", f"/jobs/42/ledger?{NOT_RAN}", given(ticks=[], summary=summary))
    assert say("job", "ledger", "42").stdout == "2 ticks were due: 2 ran\n"


def test_it_says_of_which_time_not_all_is_known(say: Words, api: FakeApi) -> None:
    summary = LEDGER["summary"] | {"lateness": None}
    unvouched = {"ticks": [], "summary": summary, "unvouched": LEDGER["unvouched"]}
    api.answer("GET", f"/jobs/42/ledger?{NOT_RAN}", given(**unvouched))
    span = "2030-01-29T23:00:00Z to 2030-01-30T00:10:00Z"
    assert say("job", "ledger", "42").stdout.endswith(f"; SQL was put back: not all is known of {span}\n")


def test_as_json_it_is_what_the_api_says(say: Words, api: FakeApi) -> None:
    import json

    api.answer("GET", f"/jobs/42/ledger?{NOT_RAN}", Given(200, LEDGER))
    assert json.loads(say("job", "ledger", "42", "--json").stdout) == LEDGER
