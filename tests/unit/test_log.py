"""The log: one line an event, for people or for programs."""

import json
import logging
from collections.abc import Iterator

import pytest

from cronkeeper.common import log

LOGGER = logging.getLogger("cronkeeper.test")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    log.request.set(None)
    root.handlers, root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_line_for_people_names_the_request_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info")
    LOGGER.info("job %d created", 7)
    log.request.set("r-1")
    LOGGER.info("again")
    first, second = said(capsys).splitlines()
    assert first.endswith("Z INFO cronkeeper.test: job 7 created")
    assert second.endswith(": again [request r-1]")


def test_a_line_for_programs_is_one_object_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", "json")
    log.request.set("r-1")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        LOGGER.exception("it failed:\n%s", "really", extra={"job": 7, "run": "7.1.x.1", "node": "alpha"})
    lines = said(capsys).splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert (line["level"], line["logger"]) == ("error", "cronkeeper.test")
    assert line["message"] == "it failed:\nreally"
    assert (line["request"], line["job"], line["run"], line["node"]) == ("r-1", "7", "7.1.x.1", "alpha")
    assert "ValueError: two" in line["exception"]


def test_what_is_not_known_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info", "json")
    LOGGER.info("hello")
    assert json.loads(said(capsys)).keys() == {"time", "level", "logger", "message"}


def test_libraries_speak_up_only_for_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("debug")
    logging.getLogger("kazoo.client").info("connected")
    logging.getLogger("kazoo.client").warning("gone")
    assert said(capsys).count("kazoo") == 1
