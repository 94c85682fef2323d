"""`when_isolated: run` is for jobs that can run nowhere else, however one asks for it."""

from typing import Any

import pytest
from support.office import Office, problem

RUN = {"when_isolated": "run", "node": "alpha"}


@pytest.fixture
def job(office: Office) -> Office:
    """With such a job."""
    office.add_node("alpha")
    assert office.create(**RUN).json["when_isolated"] == "run"  # type: ignore[index]
    return office


def refused(answer: Any) -> str:
    assert answer.status_code == 422
    return " ".join(problem(answer)["errors"]["when_isolated"])


@pytest.mark.parametrize("asked", [{"node": ...}, {"node": ..., "requires": {"disk": "ssd"}}])
def test_a_job_that_may_run_elsewhere_is_refused(office: Office, asked: dict[str, Any]) -> None:
    office.add_node("alpha")
    assert "nowhere else: give the job a node, or copies all" in refused(office.create(**RUN | asked))
    assert office.jobs() == []


def test_with_rerun_it_is_refused(office: Office) -> None:
    office.add_node("alpha")
    assert "exclude each other" in refused(office.create(**RUN, on_node_loss="rerun"))


@pytest.mark.parametrize("change", [{"node": None}, {"on_node_loss": "rerun"}])
def test_an_edit_that_takes_away_what_it_needs_is_refused(job: Office, change: dict[str, Any]) -> None:
    refused(job.call("PATCH", "/jobs/1", json=change))
    assert job.jobs()[0].rev == 1
    together = job.call("PATCH", "/jobs/1", json=change | {"when_isolated": "finish"})
    assert together.status_code == 200


def test_an_edit_that_asks_for_it_needs_a_node(office: Office) -> None:
    office.add_node("alpha")
    office.create()
    refused(office.call("PATCH", "/jobs/1", json={"when_isolated": "run"}))
    assert office.call("PATCH", "/jobs/1", json=RUN).status_code == 200


def test_a_copy_needs_a_node_too(job: Office) -> None:
    assert job.call("POST", "/jobs/1/duplicate", json={}).status_code == 201
    refused(job.call("POST", "/jobs/1/duplicate", json={"node": None}))
