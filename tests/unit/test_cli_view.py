"""What people see of the API's answers: on a terminal, and anywhere else."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator

import pytest
from support.fake_api import JOB

from cronkeeper.cli import job_view, show
from cronkeeper.cli.cells import duration, instant

LONG = "/usr/bin/" + "x" * 300


class Terminal(io.StringIO):
    """Standard output that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], str]:
    """What an action writes to a terminal of 100 columns with colours."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def written(action: Callable[[], None]) -> str:
        with contextlib.redirect_stdout(Terminal()) as output:
            action()
        return output.getvalue()

    return written


def listed() -> None:
    paused = JOB | {"id": "12", "enabled": False, "last_run": None, "next_ticks": [], "assigned_node": None}
    show.many([JOB, paused], job_view.COLUMNS, as_json=False)


def test_jobs_are_listed_in_plain_aligned_columns_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed()
    assert capsys.readouterr().out.splitlines() == [
        "ID  NAME    SCHEDULE     STATUS     NEXT TICK             NODE   LAST RUN",
        "3   backup  */5 * * * *  scheduled  2030-01-31 12:05 CET  alpha  failed (2) 2030-01-31 12:00",
        "12  backup  */5 * * * *  paused     -                     -      -",
    ]


def test_a_list_of_nothing_has_only_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    show.many([], job_view.COLUMNS, as_json=False)
    assert capsys.readouterr().out.split()[0] == "ID"


def test_a_job_is_a_readable_sheet(capsys: pytest.CaptureFixture[str]) -> None:
    show.sheet("job 3", job_view.rows(JOB | {"args": ["a b"], "stdin": "one\ntwo\x1b"}, "not\x1b so"))
    assert capsys.readouterr().out.splitlines() == [
        "name           backup",
        "status         scheduled",
        "command        /usr/bin/backup --all",
        "arguments      'a b'",
        "environment    LEVEL=9",
        "stdin          one",
        r"               two\x1b",
        "schedule       */5 * * * *",
        "               every 5 minutes",
        "time zone      Europe/Berlin",
        "next ticks     2030-01-31 12:05 CET",
        "               2030-01-31 12:10 CET",
        "last run       failed (2) 2030-01-31 12:00",
        "               exit code 2",
        r"               not\x1b so",
        "last run's id  3.1.20300131T110000Z.1",
        "node           alpha",
        "               the live node with the fewest jobs",
        "timeout        15m",
        "grace          10s",
        "concurrency    forbid",
        "catch up       latest",
        "max lateness   1h",
        "max output     16M",
        "created        2030-01-01 01:00 CET by ann",
        "updated        2030-01-02 01:00 CET, revision 7",
    ]


def test_nothing_is_cut_or_folded_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    show.sheet("job 3", job_view.rows(JOB | {"command": LONG}))
    show.many([JOB | {"name": LONG}], job_view.COLUMNS, as_json=False)
    assert capsys.readouterr().out.count(LONG) == 2


def test_a_terminal_gets_colours_and_frames(terminal: Callable[[Callable[[], None]], str]) -> None:
    seen = terminal(listed)
    assert "\x1b[32mscheduled" in seen
    assert "\x1b[31mfailed" in seen
    framed = terminal(lambda: show.sheet("job 3", job_view.rows(JOB | {"command": LONG})))
    assert "╭─ job 3 ─" in framed
    assert max(map(len, framed.splitlines())) < 150, "a person's terminal is not left by what is long"
    assert framed.count("x") > 300


def test_no_color_is_obeyed(
    terminal: Callable[[Callable[[], None]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in terminal(listed)


@pytest.mark.parametrize("color", ["FORCE_COLOR", "CLICOLOR_FORCE"])
def test_a_pipe_has_no_colours_whatever_the_environment_says(
    color: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(color, "1")
    listed()
    assert "\x1b" not in capsys.readouterr().out


def test_times_are_told_in_words_that_the_options_take() -> None:
    assert [duration(seconds) for seconds in (0.0, 0.5, 59, 90, 900, 7200, 86400)] == [
        "0s",
        "0.5s",
        "59s",
        "90s",
        "15m",
        "2h",
        "1d",
    ]
    assert instant("2030-07-01T00:00:07Z") == "2030-07-01 02:00:07 CEST"
