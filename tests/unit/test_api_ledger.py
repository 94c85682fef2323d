"""The ledger as the API tells it, and what makes ticks expected."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from support.office import Office, problem
from support.samples import NOW, report

from cronkeeper.common.model import RunState, tick_run_id
from cronkeeper.manager import reports

MINUTE = timedelta(minutes=1)


def ledger(office: Office, query: str = "") -> dict[str, Any]:
    answer = office.call("GET", f"/jobs/1/ledger{query}")
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json, dict)
    return answer.json


def told(office: Office, tick: datetime, state: RunState = RunState.SUCCEEDED, **changes: Any) -> None:
    """A node has said what became of a tick of job 1."""
    known = {"run_id": tick_run_id(1, 1, tick, 1), "copy": 1, "tick": tick, "started_at": tick, **changes}
    reports.accept(office.desk, "alpha", [report(state, **known)], office.clock.now)


def at(minute: float) -> datetime:
    return NOW.replace(second=0, microsecond=0) + minute * MINUTE


def results(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(entry["tick"][11:16], entry["result"], entry["reason"]) for entry in found["ticks"]]


def test_every_tick_since_a_job_was_made_is_told_with_a_summary(office: Office) -> None:
    office.create(schedule="*/5 * * * *")
    office.clock.now = at(32)
    told(office, at(5), started_at=at(5) + timedelta(seconds=2))
    told(office, at(10), started_at=at(11))
    told(office, at(15), RunState.SKIPPED, started_at=None, reason="still_running: 1.1.x on alpha")
    told(office, at(25), RunState.LOST, started_at=None)
    office.clock.now = at(44)
    found = ledger(office)
    assert results(found) == [
        ("12:05", "ran", None),
        ("12:10", "late", None),
        ("12:15", "skipped", "still_running"),
        ("12:20", "unaccounted", None),
        ("12:25", "lost", None),
        ("12:30", "open", None),
        ("12:35", "open", None),
        ("12:40", "open", None),
    ]
    counts = found["summary"]
    assert counts.pop("lateness") == {"p50": 2.0, "p99": 60.0, "max": 60.0}
    assert counts == {
        "expected": 8,
        "ran": 1,
        "late": 1,
        "skipped": 1,
        "lost": 1,
        "open": 3,
        "unaccounted": 1,
        "unknown": 0,
        "unexpected": 0,
    }
    assert found["known_from"] == NOW.isoformat().replace("+00:00", "Z")
    assert found["ticks"][1]["lateness"] == 60.0
    assert found["ticks"][1]["run_id"] == tick_run_id(1, 1, at(10), 1)


def test_a_range_that_was_skipped_is_told_tick_by_tick(office: Office) -> None:
    office.create(schedule="*/5 * * * *")
    office.clock.now = at(32)
    told(
        office,
        at(20),
        RunState.SKIPPED,
        started_at=None,
        reason=f"coalesced: the ticks from {at(5):%FT%TZ} to {at(20):%FT%TZ}",
        first_tick=at(5),
    )
    told(office, at(25))
    assert [entry["result"] for entry in ledger(office)["ticks"]] == ["skipped"] * 4 + ["ran", "open"]
    inside = ledger(office, f"?from={at(10):%FT%TZ}&to={at(16):%FT%TZ}")
    assert results(inside) == [("12:10", "skipped", "coalesced"), ("12:15", "skipped", "coalesced")]


def test_edits_pauses_and_the_end_decide_what_was_expected(office: Office) -> None:
    office.create(schedule="*/5 * * * *")
    told(office, at(5))
    office.clock.now = at(12)
    office.call("PATCH", "/jobs/1", json={"name": "another name"})
    office.call("PATCH", "/jobs/1", json={"schedule": "*/10 * * * *"})
    told(office, at(20))
    office.clock.now = at(35)
    office.call("POST", "/jobs/1/pause")
    office.clock.now = at(57)
    office.call("POST", "/jobs/1/resume")
    told(office, at(60))
    office.clock.now = at(75)
    office.call("DELETE", "/jobs/1")
    office.call("DELETE", "/jobs/1")
    office.clock.now = at(200)
    found = ledger(office)
    assert results(found) == [
        ("12:05", "ran", None),
        ("12:10", "skipped", "edited"),
        ("12:20", "ran", None),
        ("12:30", "skipped", "paused"),
        ("13:00", "ran", None),
        ("13:10", "skipped", "removed"),
    ]


def test_the_window_is_the_last_day_or_what_is_asked_for(office: Office) -> None:
    office.create(schedule="0 * * * *")
    office.clock.now = at(60 * 48)
    assert ledger(office)["summary"]["expected"] == 24
    found = ledger(office, f"?from={at(60):%FT%TZ}&to={at(180):%FT%TZ}")
    assert [entry["tick"] for entry in found["ticks"]] == [f"{at(60):%FT%TZ}", f"{at(120):%FT%TZ}"]
    assert ledger(office, f"?to={at(180):%FT%TZ}")["summary"]["expected"] == 2
    assert ledger(office, "?to=2999-01-01T00:00:00Z")["summary"]["expected"] == 24


def test_only_some_results_may_be_asked_for_and_the_summary_is_of_all(office: Office) -> None:
    office.create(schedule="*/5 * * * *")
    told(office, at(5))
    office.clock.now = at(12)
    assert results(ledger(office, "?result=open,lost")) == [("12:10", "open", None)]
    assert ledger(office, "?result=lost")["summary"]["expected"] == 2


def test_a_run_that_nothing_made_due_is_told_as_such(office: Office) -> None:
    office.create(schedule="@daily")
    told(office, at(7))
    office.clock.now = at(12)
    found = ledger(office)
    assert [(entry["result"], entry["expected"]) for entry in found["ticks"]] == [("ran", False)]
    assert (found["summary"]["expected"], found["summary"]["unexpected"]) == (0, 1)


def test_a_job_that_runs_by_hand_only_has_no_ticks(office: Office) -> None:
    office.create(schedule=None)
    found = ledger(office)
    assert (found["known_from"], found["ticks"], found["summary"]["lateness"]) == (None, [], None)


def test_too_many_ticks_are_refused_with_what_would_do(office: Office) -> None:
    office.create(schedule="* * * * *")
    office.clock.now = at(60 * 24 * 30)
    refused = office.call("GET", "/jobs/1/ledger?from=2026-01-01T00:00:00Z")
    assert refused.status_code == 422
    (complaint,) = problem(refused)["errors"]["to"]
    ok = complaint.rpartition(" ")[2]
    found = ledger(office, f"?from=2026-01-01T00:00:00Z&to={ok}")
    assert found["summary"]["expected"] == 10_000


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("?from=yesterday", "from", "an instant"),
        ("?from=2026-03-01T11:00:00Z&to=2026-03-01T10:00:00Z", "from", "before `to`"),
        ("?result=ran,fine", "result", "accepted"),
        ("?since=now", "since", "accepted: from, to, node, result"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(office: Office, query: str, field: str, says: str) -> None:
    office.create()
    refused = office.call("GET", f"/jobs/1/ledger{query}")
    assert refused.status_code == 422
    assert says in str(problem(refused)["errors"][field])


def test_there_is_no_ledger_of_no_job(office: Office) -> None:
    assert office.call("GET", "/jobs/7/ledger").status_code == 404
