"""The options that say what becomes of a run that failed, was lost, or goes on where its node is cut off."""

import pytest
from click import UsageError

from cronkeeper.cli import fields, job_view
from cronkeeper.common.model import OnNodeLoss, WhenIsolated

NAMES = """
    retry retry_delay retry_backoff retry_jitter on_node_loss when_isolated script binary command args env_file
    requires stdin_file schedule at timezone name node run_as shell timeout grace concurrency catch_up
    max_lateness max_output enabled copies
"""
NOT_GIVEN = dict.fromkeys(NAMES.split()) | {"env": ()}


def test_they_become_fields_of_the_api() -> None:
    given = {"retry": 3, "retry_delay": 60.0, "on_node_loss": "rerun", "when_isolated": "stop"}
    assert fields.fields(NOT_GIVEN | given) == {
        "retry": {"attempts": 3, "delay": 60.0},
        "on_node_loss": "rerun",
        "when_isolated": "stop",
    }


def test_how_attempts_follow_is_of_no_use_without_how_many() -> None:
    with pytest.raises(UsageError, match="--retry-backoff: give --retry with it"):
        fields.fields(NOT_GIVEN | {"retry_backoff": 2.0})


def test_the_choices_are_the_words_of_the_model() -> None:
    assert set(OnNodeLoss) == set(fields.ON_NODE_LOSS)
    assert set(WhenIsolated) == set(fields.WHEN_ISOLATED)


def test_a_job_shows_them_where_it_has_some() -> None:
    retry = {"attempts": 3, "delay": 60.0, "backoff": 2.0, "jitter": 0.0}
    cells = job_view._policy("retry", retry)
    assert [text for text, _ in cells] == [
        "3 more attempts",
        "after 1m, each delay 2 times the one before",
    ]
    assert job_view._policy("on_node_loss", "rerun")[0][0] == "rerun"
    assert job_view._policy("on_node_loss", "fail") == []
