"""What the API and the command line take and tell of jobs that are on every node."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection
from support.office import Office, problem
from support.samples import NOW, report

from cronkeeper.cli import fields, job_view
from cronkeeper.common.model import Copies, Role, RunState, tick_run_id
from cronkeeper.common.store import copies, nodes
from cronkeeper.manager import reports

TICK = NOW.replace(second=0, microsecond=0) + timedelta(minutes=5)


@pytest.fixture
def two(office: Office) -> Office:
    """Job 1 has a copy on alpha, 2, which ran a tick, and one on beta, 3, which waits."""
    for name in ("alpha", "beta"):
        office.add_node(name)
    assert office.create(copies="all").status_code == 201

    def begin(connection: Connection) -> None:
        copies.number_nodes(connection)
        copies.begin(connection, {(1, 2): "alpha", (1, 3): "beta"}.items(), NOW)
        known = {"this_job": 1, "this_copy": 2, "known_rev": 1, "new_gen": "1-1"}
        copies.publish(connection, [known])

    office.store.transaction(begin)
    done = {"run_id": tick_run_id(1, 2, TICK, 1), "copy": 2, "tick": TICK, "started_at": TICK}
    office.clock.now = TICK + timedelta(seconds=30)
    reports.accept(office.desk, "alpha", [report(RunState.SUCCEEDED, **done)], office.clock.now)
    return office


def test_a_job_says_how_many_copies_it_has_and_where_they_are(two: Office) -> None:
    shown = two.call("GET", "/jobs/1").json
    assert shown is not None
    assert (shown["copies"], shown["assigned_node"], shown["status"]) == ("all", None, "scheduled")
    assert two.call("GET", "/jobs/1/copies").json == [
        {"copy": 2, "node": "alpha", "since": "2026-03-01T12:00:00.123456Z", "until": None, "on_node": True},
        {"copy": 3, "node": "beta", "since": "2026-03-01T12:00:00.123456Z", "until": None, "on_node": False},
    ]
    assert two.call("GET", "/jobs/2/copies").status_code == 404
    two.create()
    assert two.call("GET", "/jobs/2/copies").json == []


def test_jobs_and_runs_can_be_listed_by_node(two: Office) -> None:
    def ids(path: str) -> list[str]:
        return [each["id"] for each in two.call("GET", path).json or ()]

    assert (ids("/jobs?node=alpha"), ids("/jobs?node=beta")) == (["1"], [])
    assert ids("/jobs/1/runs?node=alpha") == [tick_run_id(1, 2, TICK, 1)]
    assert ids("/jobs/1/runs?node=beta") == []
    assert (two.call("GET", "/jobs/1/runs").json or [{}])[0]["copy"] == 2


def test_the_ledger_tells_each_copy_apart(two: Office) -> None:
    def told(query: str) -> list[tuple[int, str, str]]:
        found = two.call("GET", f"/jobs/1/ledger{query}").json
        assert isinstance(found, dict)
        assert found["summary"]["expected"] == len(found["ticks"])
        return [(entry["copy"], entry["node"], entry["result"]) for entry in found["ticks"]]

    assert told("") == [(2, "alpha", "ran"), (3, "beta", "open")]
    assert told("?node=beta") == [(3, "beta", "open")]


def test_more_ticks_than_one_answer_holds_are_refused_with_what_would_be_answered(two: Office) -> None:
    two.clock.now += timedelta(days=30)
    wrong = two.call("GET", "/jobs/1/ledger?from=2026-03-01T12:00:00Z")
    assert "or one node of the 2, as `node`" in problem(wrong)["errors"]["to"][0]
    until = problem(wrong)["errors"]["to"][0].partition("up to ")[2].partition(";")[0]
    assert two.call("GET", f"/jobs/1/ledger?from=2026-03-01T12:00:00Z&to={until}").status_code == 200
    one = two.call("GET", "/jobs/1/ledger?from=2026-03-01T12:00:00Z&node=alpha")
    assert one.status_code == 200


def test_a_run_by_hand_needs_a_node_that_has_a_copy(two: Office) -> None:
    run = two.call("POST", "/jobs/1/runs?node=beta").json
    assert run is not None
    assert (run["copy"], run["state"], run["id"][:9]) == (3, "queued", "1.3.hand-")
    assert "each run on one of them" in problem(two.call("POST", "/jobs/1/runs"))["errors"]["node"][0]
    assert two.call("POST", "/jobs/1/runs?node=gamma").status_code == 409
    two.create()
    assert (
        "only for jobs with copies all"
        in problem(two.call("POST", "/jobs/2/runs?node=beta"))["errors"]["node"][0]
    )


def test_a_node_of_its_own_and_all_nodes_exclude_each_other(two: Office) -> None:
    assert problem(two.create(copies="all", node="alpha"))["errors"] == {
        "node": ["not with copies all, which is on every node: leave one of the two out"]
    }
    assert "node" in problem(two.call("PATCH", "/jobs/1", json={"node": "alpha"}))["errors"]


def test_how_many_there_are_is_changed_by_a_duplicate_only(two: Office) -> None:
    wrong = two.call("PATCH", "/jobs/1", json={"copies": 1})
    assert "duplicate the job with the other value" in problem(wrong)["errors"]["copies"][0]
    assert two.call("PATCH", "/jobs/1", json={"copies": "all"}).status_code == 200
    single = two.call("POST", "/jobs/1/duplicate", json={"copies": 1}).json
    assert single is not None
    assert single["copies"] == 1


def test_a_job_without_copies_on_nodes_is_published_and_a_copy_that_is_behind_makes_it_wait(
    two: Office,
) -> None:
    assert two.jobs()[0].published_rev == 1
    two.call("PATCH", "/jobs/1", json={"timeout": 5})
    two.store.transaction(lambda connection: copies.agree(connection, [1]))
    assert two.jobs()[0].published_rev == 1


def test_nodes_keep_their_numbers_and_no_number_is_given_twice(two: Office) -> None:
    two.store.transaction(lambda connection: copies.end(connection, [3], NOW))
    two.call("DELETE", "/nodes/beta", Role.ADMIN)
    two.add_node("beta")
    two.add_node("gamma")
    two.store.transaction(copies.number_nodes)
    found = two.store.transaction(nodes.roll).numbers
    assert found == {"alpha": 2, "beta": 4, "gamma": 5}


def test_the_command_line_takes_and_shows_it() -> None:
    assert set(Copies) == set(fields.COPIES)
    job = {"copies": "all", "assigned_node": None}
    there = [{"node": f"n{number}", "on_node": number != 3} for number in range(13)]
    assert job_view._nodes(job, there)[0] == "12: n0, n1, n2, n4, n5, n6, n7, n8, n9, n10 and 2 others"
    assert job_view._policy("copies", "all")[0][0] == "all"
    assert job_view._policy("copies", 1) == []
