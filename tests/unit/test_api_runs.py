"""Runs by hand, what became of runs, and the nodes' reports of them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.office import Office, of_hand_run, problem
from support.samples import NOW, TICK, report
from support.wait import wait_until
from werkzeug.test import TestResponse

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Output, RunState
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER, NodeKey
from cronkeeper.manager import reports
from cronkeeper.manager.runs import MAX_WAITING


def by_hand(office: Office, query: str = "", **options: Any) -> TestResponse:
    return office.call("POST", f"/jobs/1/runs{query}", **options)


def newest(office: Office) -> dict[str, Any]:
    """The newest run of job 1; empty where it has none."""
    listed: list[dict[str, Any]] | None = office.call("GET", "/jobs/1/runs").json
    return listed[0] if listed else {}


def end(office: Office, run: dict[str, Any], state: RunState = RunState.SUCCEEDED) -> None:
    """As if a node had reported it."""
    ended = of_hand_run(run, state, exit_code=int(state is not RunState.SUCCEEDED))
    reports.accept(office.desk, "alpha", [ended], NOW)


def test_a_hundred_runs_of_a_job_may_wait_and_no_more(office: Office) -> None:
    office.create()
    office.create()
    waiting = [by_hand(office).json for _ in range(MAX_WAITING)]
    refused = by_hand(office)

    assert refused.status_code == 409
    assert "100 runs of job 1 wait to be started" in problem(refused)["detail"]
    assert office.call("POST", "/jobs/2/runs").status_code == 202
    end(office, waiting[0] or {})
    assert by_hand(office).status_code == 202


def test_a_run_by_hand_is_queued_and_the_leader_told(office: Office) -> None:
    office.create()
    answer = by_hand(office)

    assert answer.status_code == 202
    run = answer.json
    assert run is not None
    assert answer.headers["Location"] == f"/runs/{run['id']}"
    assert run == {
        "id": run["id"],
        "job_id": "1",
        "tick": None,
        "attempt": 1,
        "copy": 1,
        "state": "queued",
        "started_by": "hand",
        "node": None,
        "requested_by": "user",
        "created_at": "2026-03-01T12:00:00.123456Z",
        "claimed_at": None,
        "started_at": None,
        "ended_at": None,
        "exit_code": None,
        "reason": None,
    }
    assert office.call("GET", f"/runs/{run['id']}").json == run
    assert office.tree.get(paths.change(1)).version == 1


@pytest.mark.parametrize(
    "options",
    [{}, {"json": {}}, {"data": b"", "content_type": "text/plain"}, {"query_string": {"wait": "0"}}],
)
def test_a_run_by_hand_needs_no_body(office: Office, options: dict[str, Any]) -> None:
    office.create()
    assert by_hand(office, **options).status_code == 202


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"attempt": 2}}, 422),
        ({"json": []}, 422),
        ({"data": b"null", "content_type": "application/json"}, 422),
        ({"data": b"{}", "content_type": "text/plain"}, 415),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"query_string": {"wait": "-1"}}, 422),
        ({"query_string": {"wait": "60.1"}}, 422),
        ({"query_string": {"wait": "nan"}}, 422),
        ({"query_string": {"wait": "inf"}}, 422),
        ({"query_string": {"wait": "long"}}, 422),
        ({"query_string": {"attempt": "2"}}, 422),
    ],
)
def test_a_wrong_request_for_a_run_asks_for_none(
    office: Office, options: dict[str, Any], status: int
) -> None:
    office.create()
    answer = by_hand(office, **options)

    assert answer.status_code == status
    problem(answer)
    assert newest(office) == {}


def test_a_removed_job_is_not_run(office: Office) -> None:
    office.create()
    office.call("DELETE", "/jobs/1")
    answer = by_hand(office)

    assert answer.status_code == 409
    assert "has ended" in problem(answer)["detail"]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.SKIPPED])
def test_who_waits_gets_the_end(office: Office, state: RunState) -> None:
    office.create()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(by_hand, office, "?wait=30")
        run = wait_until(lambda: newest(office))
        assert not waiting.done()
        end(office, run, state)
        answer = waiting.result(5)

    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["id"], answer.json["state"]) == (run["id"], state.value)


def test_who_waits_in_vain_gets_the_run_as_it_is(office: Office) -> None:
    office.create()
    begun = time.monotonic()
    answer = by_hand(office, "?wait=0.1")

    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["state"] == "queued"
    assert time.monotonic() - begun >= 0.1


def test_only_so_many_may_wait_at_a_time(make_office: Callable[..., Office]) -> None:
    office = make_office(max_waiters=1)
    office.create()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(by_hand, office, "?wait=30")
        run = wait_until(lambda: newest(office))
        looks = office.store.transactions
        wait_until(lambda: office.store.transactions > looks)
        begun = time.monotonic()
        refused = by_hand(office, "?wait=30")
        took = time.monotonic() - begun
        end(office, run)
        assert waiting.result(5).status_code == 200

    assert refused.status_code == 202
    assert refused.json is not None
    assert refused.json["id"] != run["id"]
    assert took < 5


def test_a_place_to_wait_is_free_again_afterwards(make_office: Callable[..., Office]) -> None:
    office = make_office(max_waiters=1)
    office.create()
    for _ in range(2):
        begun = time.monotonic()
        assert by_hand(office, "?wait=0.05").status_code == 202
        assert time.monotonic() - begun >= 0.05


def test_no_place_to_wait_at_all_is_possible(make_office: Callable[..., Office]) -> None:
    office = make_office(max_waiters=0)
    office.create()
    assert by_hand(office, "?wait=30").status_code == 202


def test_sql_that_is_away_for_a_while_does_not_end_the_wait(office: Office) -> None:
    office.create()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(by_hand, office, "?wait=30")
        run = wait_until(lambda: newest(office))
        office.store.troubles += [Unavailable("the database does not answer")] * 2
        wait_until(lambda: not office.store.troubles)
        end(office, run)
        assert waiting.result(5).status_code == 200


def test_runs_are_listed_newest_first(office: Office) -> None:
    office.create()
    made = []
    for second in range(3):
        office.clock.now = NOW.replace(second=second)
        made.append((by_hand(office).json or {})["id"])

    listed = office.call("GET", "/jobs/1/runs?limit=2").json
    assert listed is not None
    assert [run["id"] for run in listed] == [made[2], made[1]]
    assert office.call("GET", "/jobs/1/runs?limit=0").status_code == 422


@pytest.mark.parametrize("path", ["/runs/1.1.hand-x.1", "/runs/%00/stdout", "/runs/ä/stderr"])
def test_there_is_no_such_run(empty_office: Office, path: str) -> None:
    answer = empty_office.call("GET", path)

    assert answer.status_code == 404
    assert "no run" in problem(answer)["detail"]


def test_what_a_run_wrote_is_given_back_byte_by_byte(office: Office) -> None:
    office.create()
    run = by_hand(office).json
    assert run is not None
    written = {"stdout": Output(size=5000, data=b"<b>\xff\0\r\n"), "stderr": Output(size=0, data=b"")}
    reports.accept(office.desk, "alpha", [of_hand_run(run, RunState.SUCCEEDED, **written)], NOW)

    for stream, output in written.items():
        answer = office.call("GET", f"/runs/{run['id']}/{stream}")
        assert answer.status_code == 200
        assert answer.data == output.data
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cronkeeper-Output-Size"] == str(output.size)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_run_that_has_not_ended_has_written_nothing(office: Office) -> None:
    office.create()
    run = by_hand(office).json or {}
    answer = office.call("GET", f"/runs/{run['id']}/stdout")

    assert (answer.status_code, answer.data) == (200, b"")


def test_a_signed_report_is_taken_in_and_may_be_repeated(office: Office) -> None:
    office.create()
    key = office.add_node()
    ticks = [report(RunState.SUCCEEDED, copy=1), report(RunState.FAILED, copy=1, attempt=2, exit_code=3)]

    for _ in range(2):
        answer = office.report("alpha", key, ticks, content_type="application/json")
        assert answer.status_code == 200, answer.text
        assert answer.json == {"acknowledged": [one.run_id for one in ticks]}

    run = office.call("GET", f"/runs/{ticks[1].run_id}").json
    assert run is not None
    assert (run["state"], run["exit_code"], run["node"], run["started_by"]) == ("failed", 3, "alpha", "cron")
    assert run["tick"] == TICK.isoformat().replace("+00:00", "Z")
    assert office.call("GET", f"/runs/{ticks[0].run_id}/stdout").data == b"out"
    assert (office.call("GET", "/jobs/1").json or {})["status"] == "error"


def test_a_report_of_an_unknown_job_is_let_go(office: Office) -> None:
    key = office.add_node()
    one = report(RunState.SUCCEEDED, job_id=77)

    assert office.report("alpha", key, [one]).json == {"acknowledged": [one.run_id]}


def test_only_nodes_that_were_added_may_report(office: Office) -> None:
    office.create()
    key = office.add_node()
    one = report(RunState.SUCCEEDED)

    answers = [
        office.report("beta", key, [one]),
        office.report("alpha", NodeKey.generate(), [one]),
        office.report("Alpha", key, [one]),
        office.call("POST", "/reports", json=[]),
        office.call("POST", "/reports", data=b"[]", headers={NODE_HEADER: "alpha"}),
        office.call("POST", "/reports", data=b"[]", headers={SIGNATURE_HEADER: key.sign("alpha", b"[]")}),
        office.call("POST", "/reports", data=b"[]", headers={NODE_HEADER: "alpha", SIGNATURE_HEADER: "?"}),
        office.call(
            "POST",
            "/reports",
            data=b"[] ",
            headers={NODE_HEADER: "alpha", SIGNATURE_HEADER: key.sign("alpha", b"[]")},
        ),
    ]

    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert all(problem(answer) for answer in answers)
    assert newest(office) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"7", b"[1]", b'[{"run_id": "1"}]', b"[" * 100_000])
def test_what_is_no_report_is_refused(office: Office, body: bytes) -> None:
    key = office.add_node()
    headers = {NODE_HEADER: "alpha", SIGNATURE_HEADER: key.sign("alpha", body)}
    answer = office.call("POST", "/reports", None, data=body, headers=headers)

    assert answer.status_code == 400
    assert "no list of reports" in problem(answer)["detail"]


def test_reports_may_be_larger_than_other_bodies_but_not_beyond_32_mib(office: Office) -> None:
    office.create()
    key = office.add_node()
    large = Output(size=21 * 2**20, data=bytes(21 * 2**20))  # 28 MiB in base64

    assert office.report("alpha", key, [report(RunState.SUCCEEDED, stdout=large)]).status_code == 200
    answer = office.call("POST", "/reports", None, data=bytes(32 * 2**20 + 1), headers={NODE_HEADER: "alpha"})
    assert answer.status_code == 413
    assert "33554432 bytes" in problem(answer)["detail"]
