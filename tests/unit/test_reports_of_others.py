"""A node speaks for its own runs, and of others' only what its claims say."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.fakes import Trouble, lose_call
from support.fleet import Fleet
from support.office import Office, problem
from support.promise import complaints
from support.samples import NOW, TICK, ended, report, unfinished

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import (
    Claim,
    ClaimName,
    Generation,
    Output,
    Report,
    RunState,
    encode,
    tick_run_id,
)
from cronkeeper.common.store.advance import advance

RUN = tick_run_id(1, 1, TICK, 1)
SAID_BY_CLAIM = ended(unfinished(RUN, node="alpha"))
"""An end of alpha's, as it stands in a claim that has moved."""


def of_the_claim(**changes: object) -> Report:
    """What the new owner reports of that end."""
    end = SAID_BY_CLAIM.outcome
    assert end is not None
    fields = {name: getattr(end, name) for name in ("state", "exit_code", "reason", "started_at", "ended_at")}
    return report(**{"run_id": RUN, "copy": 1, "stdout": None, "stderr": None} | fields | changes)


@pytest.fixture
def moved(office: Office) -> Office:
    """Job 1 is beta's now, and its claim lists an end of alpha's."""
    office.create()
    claim = paths.claim("beta", ClaimName(1, 1, Generation(2, 1)))
    office.tree.ensure(paths.claims("beta"))
    office.tree.commit([Create(claim, encode(Claim(watermark=TICK, unfinished=(SAID_BY_CLAIM,))))])
    return office


def told(office: Office, signer: str, *reports: Report) -> list[tuple[str, str]]:
    """Which runs job 1 has after these reports, all of which are acknowledged."""
    answer = office.report(signer, office.add_node(signer), list(reports))
    assert answer.json == {"acknowledged": [each.run_id for each in reports]}
    return [(each["node"], each["state"]) for each in office.call("GET", "/jobs/1/runs").json or []]


def test_an_end_in_a_claim_that_has_moved_is_reported_by_the_new_owner(moved: Office) -> None:
    assert told(moved, "beta", of_the_claim()) == [("alpha", "succeeded")]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": RunState.FAILED},
        {"exit_code": 1},
        {"reason": "so there"},
        {"ended_at": NOW},
        {"started_at": None},
        {"run_id": tick_run_id(1, 1, TICK + timedelta(minutes=1), 1)},
        {"node": "gamma"},
        {"job_id": 2},
        {"copy": 2},
        {"stdout": Output(size=1, data=b"x")},
        {"stderr": Output(size=1, data=b"x")},
        {"state": RunState.RUNNING, "ended_at": None, "exit_code": None},
    ],
)
def test_what_the_claim_does_not_say_of_anothers_run_is_let_go(
    moved: Office, changes: dict[str, object]
) -> None:
    assert told(moved, "beta", of_the_claim(**changes)) == []


def test_who_does_not_hold_the_claim_may_not_tell_what_it_says(moved: Office) -> None:
    assert told(moved, "gamma", of_the_claim()) == []


def test_what_is_let_go_holds_up_nothing_else_and_is_logged(
    moved: Office, caplog: pytest.LogCaptureFixture
) -> None:
    own = report(RunState.RUNNING, node="gamma", copy=1)
    assert told(moved, "gamma", of_the_claim(node="delta"), own) == [("gamma", "running")]
    assert f"node gamma says that run {RUN} of node delta is succeeded" in caplog.text


def test_what_a_run_wrote_is_taken_in_after_its_end_was_told_by_the_new_owner(moved: Office) -> None:
    assert told(moved, "beta", of_the_claim()) == [("alpha", "succeeded")]
    said = problem(moved.call("GET", f"/runs/{RUN}/stdout"))
    assert said["status"] == 404
    assert "its node was away from the end on, and has not sent it yet" in said["detail"]

    key = moved.add_node("alpha")
    for output in (b"of alpha", b"said again"):
        late = of_the_claim(stdout=Output(size=len(output), data=output))
        assert moved.report("alpha", key, [late]).status_code == 200
        assert moved.call("GET", f"/runs/{RUN}/stdout").data == b"of alpha"


@pytest.mark.parametrize(
    "run_id",
    ["", "1", "elsewhere", "2.1.20260301T120000Z.1", "1.2.20260301T120000Z.1", "1./../../etc.1", f"{RUN}\n"],
)
def test_a_run_id_that_is_none_of_the_job_is_let_go(office: Office, run_id: str) -> None:
    office.create()
    assert told(office, "alpha", of_the_claim(run_id=run_id)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": 2**31},
        {"attempt": -(2**63)},
        {"stdout": Output(size=2**63, data=b"")},
        {"stdout": Output(size=-1, data=b"")},
        {"ended_at": NOW.replace(tzinfo=None)},
    ],
)
def test_what_sql_could_not_hold_is_refused(office: Office, changes: dict[str, Any]) -> None:
    key = office.add_node()
    assert problem(office.report("alpha", key, [report(RunState.RUNNING, **changes)]))["status"] == 400


def test_while_the_tree_is_away_only_reports_of_others_runs_wait(moved: Office) -> None:
    key = moved.add_node("beta")
    moved.tree.disconnect()
    assert moved.report("beta", key, [of_the_claim()]).status_code == 503
    assert moved.report("beta", key, [of_the_claim(node="beta")]).status_code == 200


def test_a_run_that_one_node_has_is_not_changed_by_anothers_word_under_its_own_name(office: Office) -> None:
    office.create()
    assert told(office, "alpha", report(RunState.RUNNING)) == [("alpha", "running")]
    for state in (RunState.SUCCEEDED, RunState.LOST, RunState.FAILED):
        assert told(office, "beta" + state[:1], report(state, node="beta" + state[:1])) == [
            ("alpha", "running")
        ]


def test_the_word_of_who_has_the_run_counts_after_anothers_that_it_is_lost() -> None:
    lost = advance(None, report(RunState.LOST), NOW)
    after = advance(lost, report(RunState.RUNNING, node="beta"), NOW)
    assert after is None, "lost becomes what really happened only by an end"
    truth = advance(lost, report(RunState.SUCCEEDED, node="beta"), NOW)
    assert truth is not None
    assert (truth.node, truth.state) == ("beta", RunState.SUCCEEDED)


def test_a_tick_that_another_node_skipped_was_never_claimed_by_the_one_that_called_it_lost() -> None:
    """Whether its claim had landed, that one did not know when its machine was restarted."""
    lost = advance(None, report(RunState.LOST), NOW)
    after = advance(lost, report(RunState.SKIPPED, node="beta", reason="paused"), NOW)
    assert after is not None
    assert (after.node, after.state, after.reason) == ("beta", RunState.SKIPPED, "paused")
    assert advance(after, report(RunState.LOST), NOW) is None


def test_an_end_of_a_dead_node_that_no_api_heard_of_comes_by_way_of_its_claim(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet("alpha", "beta", trouble={"api": (trouble := Trouble())})
    job = fleet.submit(schedule="1 * * * *")
    fleet.go(3)
    trouble.always(lose_call)
    fleet.go(50)
    (run_id,) = fleet.starts()
    fleet.power_off("alpha")
    fleet.go(20)
    node, claim = fleet.claim(job)
    assert node == "beta"
    assert [(run.node, run.outcome is not None) for run in claim.unfinished] == [("alpha", True)]

    trouble.disarm()
    fleet.go(20)
    run = fleet.runs()[run_id]
    assert (run.node, run.state) == ("alpha", RunState.SUCCEEDED)
    assert fleet.claim(job)[1].unfinished == ()
    assert complaints(fleet) == []
