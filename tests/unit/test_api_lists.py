"""Long lists, in pages."""

import base64
import json
from datetime import timedelta

import pytest
from support.office import Office, problem
from support.samples import hand_run

from cronkeeper.common.model import RunState, replace
from cronkeeper.common.store import jobs as store
from cronkeeper.common.store import runs
from cronkeeper.common.store.jobs import Publication


def test_jobs_are_listed_by_id_in_pages(office: Office) -> None:
    for _ in range(5):
        office.create()

    path, seen = "/jobs?limit=2", []
    while path:
        answer = office.call("GET", path)
        assert answer.status_code == 200
        assert answer.json is not None
        seen.append([job["id"] for job in answer.json])
        link = answer.headers.get("Link")
        if link is not None:
            assert link.endswith('; rel="next"')
        path = link.split(">")[0].removeprefix("<") if link is not None else ""

    assert seen == [["1", "2"], ["3", "4"], ["5"]]
    assert office.call("GET", "/jobs?after=5").json == []
    assert [job["id"] for job in office.call("GET", "/jobs?after=3").json or []] == ["4", "5"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("after=-1", "after"),
        ("after=99999999999999999999", "after"),
        ("page=2", "page"),
        ("sort=size", "sort"),
        ("sort=", "sort"),
        ("sort=--id", "sort"),
        ("status=lost", "status"),
        ("type=job", "type"),
        ("enabled=perhaps", "enabled"),
        ("after=1&sort=name", "after"),
        ("after=1&cursor=x", "after"),
    ],
)
def test_a_wrong_query_is_refused(empty_office: Office, query: str, field: str) -> None:
    answer = empty_office.call("GET", f"/jobs?{query}")

    assert answer.status_code == 422
    assert list(problem(answer)["errors"]) == [field]


def pages(office: Office, path: str) -> list[list[str]]:
    """The ids on each page, from this one on."""
    seen = []
    while path:
        answer = office.call("GET", path)
        assert answer.status_code == 200, answer.text
        seen.append([each["id"] for each in answer.json or []])
        link = answer.headers.get("Link")
        path = link.split(">")[0].removeprefix("<") if link is not None else ""
    return seen


@pytest.fixture
def five(office: Office) -> Office:
    """Jobs 1 to 5, of which 4 was changed last and 2 before it, all by hand."""
    for number, name in enumerate(["delta", "Alpha", "delta", "Ärger_100%", "beta"]):
        office.create(name=name, schedule=None, enabled=number != 2)
    for number in (2, 4):
        office.clock.now += timedelta(microseconds=1)
        office.call("PATCH", f"/jobs/{number}", json={"stdin": "x"})
    return office


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [["1", "2"], ["3", "4"], ["5"]]),
        ("sort=id", [["1", "2"], ["3", "4"], ["5"]]),
        ("after=2", [["3", "4"], ["5"]]),
        ("sort=-id", [["5", "4"], ["3", "2"], ["1"]]),
        ("sort=name", [["2", "5"], ["1", "3"], ["4"]]),
        ("sort=-name", [["4", "3"], ["1", "5"], ["2"]]),
        ("sort=updated_at", [["1", "3"], ["5", "2"], ["4"]]),
        ("sort=-updated_at", [["4", "2"], ["5", "3"], ["1"]]),
        ("sort=-name&name=ta&enabled=true", [["1", "5"], []]),
        ("name=ALPH", [["2"]]),
        ("name=%C3%84RG", [["4"]]),
        ("name=r_1", [["4"]]),
        ("name=0%25", [["4"]]),
        ("name=a%25a", [[]]),
        ("name=", [["1", "2"], ["3", "4"], ["5"]]),
        ("enabled=false", [["3"]]),
        ("type=script", [[]]),
        ("type=command&status=scheduled&after=4", [["5"]]),
        ("status=error", [[]]),
        ("node=alpha", [[]]),
    ],
)
def test_jobs_are_filtered_and_sorted_in_pages(five: Office, query: str, expected: list[list[str]]) -> None:
    assert pages(five, f"/jobs?limit=2&{query}") == expected


def test_jobs_are_found_by_the_node_that_has_them(five: Office) -> None:
    where = Publication(job_id=3, rev=1, node="alpha", gen="1-1", placement=None)
    five.store.transaction(lambda conn: store.publish(conn, [where]))

    assert pages(five, "/jobs?node=alpha") == [["3"]]


def cursor(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "%C3%A9",
        "AAAA",
        cursor(["name", "x", 1]),
        cursor(["id", 1]),
        cursor(["id", "1", "1"]),
        cursor(["id", 1, 10**18]),
        cursor(["id", -1, -1]),
        cursor(["id", 1, 1, 1]),
        cursor({"id": 1}),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(empty_office: Office, wrong: str) -> None:
    for path in ("/jobs", "/jobs/1/runs"):
        answer = empty_office.call("GET", f"{path}?cursor={wrong}")

        assert answer.status_code == 422
        assert "from the header Link" in problem(answer)["errors"]["cursor"][0]


@pytest.mark.parametrize("after", [cursor(["updated_at", 10**18, 1]), cursor(["updated_at", "2026", 1])])
def test_a_cursor_holds_instants_that_there_are(empty_office: Office, after: str) -> None:
    answer = empty_office.call("GET", f"/jobs?sort=updated_at&cursor={after}")

    assert answer.status_code == 422


def test_a_job_is_shown_with_its_newest_run(five: Office) -> None:
    for job_id, run in (("1", "a"), ("1", "b"), ("2", "c")):
        five.clock.now += timedelta(seconds=1)
        ended = hand_run(run, job_id=int(job_id), state=RunState.FAILED, exit_code=7, node="alpha")
        created = replace(ended, created_at=five.clock.now)
        five.store.transaction(lambda conn, created=created: runs.request(conn, created))

    before = five.store.transactions
    listed = {job["id"]: job["last_run"] for job in five.call("GET", "/jobs").json or []}
    assert five.store.transactions - before == 3  # the jobs, their runs, the pauses
    assert listed["3"] is None
    assert listed["1"] == {
        "id": "1.0.hand-b.1",
        "state": "failed",
        "tick": None,
        "started_at": None,
        "ended_at": None,
        "exit_code": 7,
        "node": "alpha",
    }
    assert (five.call("GET", "/jobs/2").json or {})["last_run"] == listed["2"]


def test_runs_are_listed_in_pages_and_by_state(five: Office) -> None:
    for number in range(5):
        five.clock.now += timedelta(seconds=number % 2)
        state = RunState.FAILED if number % 2 else RunState.SUCCEEDED
        run = hand_run(f"r{number}", state=state, created_at=five.clock.now)
        five.store.transaction(lambda conn, run=run: runs.request(conn, run))

    def told(query: str) -> list[list[str]]:
        return [[each[9:11] for each in page] for page in pages(five, f"/jobs/1/runs?limit=2&{query}")]

    assert told("") == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert told("state=failed") == [["r3", "r1"], []]
    assert told("state=queued") == [[]]
    assert five.call("GET", "/jobs/1/runs?state=nonsense").status_code == 422


def test_one_node_is_shown(office: Office) -> None:
    office.add_node("alpha")
    office.live("alpha", jobs=3)

    answer = office.call("GET", "/nodes/alpha")
    assert answer.status_code == 200
    more = {"facts": None, "runs": 0, "waiting": None}
    assert [answer.json] == [node | more for node in office.call("GET", "/nodes").json]
    assert (answer.json or {})["jobs"] == 3
    for name in ("beta", "ALPHA", "%00", "a" * 300):
        missing = office.call("GET", f"/nodes/{name}")
        assert missing.status_code == 404
        assert "no node" in problem(missing)["detail"]


def test_a_filter_with_a_nul_is_refused_since_sqlite_stops_at_it(empty_office: Office) -> None:
    answer = empty_office.call("GET", "/jobs?name=%00hello")
    assert answer.status_code == 422
    assert "name" in answer.text
