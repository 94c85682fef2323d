"""A request to create a job that is repeated under its Idempotency-Key makes one job."""

import json
from typing import Any

import pytest
from support.office import COMMAND, Office, problem, revs_told
from support.samples import at_once
from werkzeug.test import TestResponse

from cronkeeper.api.identity import Role
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Delete


def send(office: Office, key: str = "k1", as_: Role = Role.USER, **changes: Any) -> TestResponse:
    return office.call("POST", "/jobs", as_, json=COMMAND | changes, headers={"Idempotency-Key": key})


def test_the_same_request_again_answers_with_the_same_job(office: Office) -> None:
    first, again = send(office), send(office)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"] == "/jobs/1"
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    assert len(office.jobs()) == 1


def test_another_body_under_the_same_key_is_refused(office: Office) -> None:
    send(office)

    answer = send(office, name="other")
    assert answer.status_code == 422
    assert "'k1' was sent before with another body, which made job 1" in problem(answer)["detail"]
    spaced = json.dumps(COMMAND, indent=1).encode()
    headers = {"Idempotency-Key": "k1"}
    answer = office.call("POST", "/jobs", data=spaced, content_type="application/json", headers=headers)
    assert answer.status_code == 422
    assert len(office.jobs()) == 1


def test_another_key_or_another_actor_is_another_request(office: Office) -> None:
    made = [send(office), send(office, "k2"), send(office, "K1"), send(office, as_=Role.ADMIN)]

    assert [(answer.json or {})["id"] for answer in made] == ["1", "2", "3", "4"]


def test_what_was_refused_may_be_sent_again_under_its_key(office: Office) -> None:
    assert send(office, schedule="61 * * * *").status_code == 422
    assert send(office).status_code == 201


def test_a_repeated_request_is_answered_though_its_time_is_past_and_its_job_gone(office: Office) -> None:
    once = {"schedule": "@once", "at": "2026-03-01T12:30:00Z"}
    send(office, **once)
    office.clock.now = office.clock.now.replace(hour=14)
    office.call("DELETE", "/jobs/1")

    again = send(office, **once)
    assert again.status_code == 201
    assert again.json is not None
    assert (again.json["id"], again.json["status"]) == ("1", "finished")


@pytest.mark.parametrize("key", ["", "a" * 201, "é", "a\tb"])
def test_a_key_that_can_not_be_kept_is_refused(empty_office: Office, key: str) -> None:
    answer = send(empty_office, key)

    assert answer.status_code == 400
    assert "1 to 200 printable ASCII" in problem(answer)["detail"]
    assert empty_office.jobs() == []


def test_the_longest_key_is_kept(office: Office) -> None:
    assert [send(office, "~" * 200).status_code for _ in range(2)] == [201, 201]
    assert len(office.jobs()) == 1


def test_of_requests_at_the_same_moment_one_makes_the_job(office: Office) -> None:
    answers = at_once([lambda: send(office)] * 6)

    assert [answer.status_code for answer in answers] == [201] * 6
    assert {answer.json["id"] for answer in answers} == {"1"}
    assert sum("Idempotent-Replay" not in answer.headers for answer in answers) == 1
    assert len(office.jobs()) == 1
    assert set(revs_told(office)) == {"1"}


def duplicate(office: Office, job_id: int = 1, key: str = "k1", **changes: Any) -> TestResponse:
    path, headers = f"/jobs/{job_id}/duplicate", {"Idempotency-Key": key}
    return office.call("POST", path, json=changes if changes else None, headers=headers)


def test_a_job_is_duplicated_once_under_its_key(office: Office) -> None:
    office.create()
    office.create()
    first, again, other = duplicate(office), duplicate(office), duplicate(office, key="k2")

    assert [(answer.json or {})["id"] for answer in (first, again, other)] == ["3", "3", "4"]
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (201, "true")
    assert duplicate(office, name="twin").status_code == 422, "with another body"
    assert duplicate(office, job_id=2).status_code == 422, "of another job"
    assert send(office).status_code == 422, "for something else"
    assert len(office.jobs()) == 4


def by_hand(
    office: Office, key: str = "k1", job_id: int = 1, as_: Role = Role.USER, **options: Any
) -> TestResponse:
    headers = {"Idempotency-Key": key}
    return office.call("POST", f"/jobs/{job_id}/runs", as_, headers=headers, **options)


def listed(office: Office) -> list[str]:
    runs: list[dict[str, Any]] = office.call("GET", "/jobs/1/runs").json or []
    return [run["id"] for run in runs]


def test_a_run_is_asked_for_once_under_its_key(office: Office) -> None:
    office.create()
    office.create()
    first, again = by_hand(office), by_hand(office, json={})

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    assert listed(office) == [(first.json or {})["id"]]
    others = [by_hand(office, "k2"), by_hand(office, job_id=2), by_hand(office, as_=Role.ADMIN)]
    assert len({(answer.json or {})["id"] for answer in (first, *others)}) == 4
    assert by_hand(office, "").status_code == 400


def test_a_repeated_request_for_a_run_is_answered_though_the_job_is_gone(office: Office) -> None:
    office.create()
    first = by_hand(office)
    office.call("DELETE", "/jobs/1")

    assert by_hand(office).json == first.json
    assert by_hand(office, "k2").status_code == 409


def test_of_requests_for_a_run_at_the_same_moment_one_asks_for_it(office: Office) -> None:
    office.create()
    answers = at_once([lambda: by_hand(office)] * 6)

    assert [answer.status_code for answer in answers] == [202] * 6
    assert sum("Idempotent-Replay" not in answer.headers for answer in answers) == 1
    assert len(listed(office)) == 1


def test_the_leader_is_told_of_a_job_again_whose_first_request_died_before_it_could(office: Office) -> None:
    send(office)
    change = paths.change(1)
    office.tree.commit([Delete(change, office.tree.get(change).version)])

    send(office)
    assert revs_told(office) == ["1"]
