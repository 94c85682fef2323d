"""The queue of reports: everything is sent until it is acknowledged, in batches that the API takes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from support.samples import NOW, plan, report
from support.wait import wait_until

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Output, Report, RunState, encode
from cronkeeper.worker.pace import MAX_BATCH, NotTaken, Pace
from cronkeeper.worker.reporter import Reporter
from cronkeeper.worker.run_folder import RunFolder

API_TAKES = 32 * 1024 * 1024
FULL = Output(size=10**9, data=b"x" * 64 * 1024)


class Api:
    """Remembers each batch; acknowledges all of it, once it is `there`."""

    def __init__(self) -> None:
        self.batches: list[list[Report]] = []
        self.there = True
        self.refuses: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, batch: Sequence[Report]) -> list[str]:
        self.batches.append(list(batch))
        assert self.gate.wait(10)
        if not self.there:
            raise Unavailable("the API is away")
        if self.refuses & {each.run_id for each in batch}:
            raise NotTaken("500", refused=True)
        return [each.run_id for each in batch]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def reporter(api: Api) -> Iterator[Reporter]:
    reporter = Reporter(api, lambda: None, Pace(lambda: 0.01))
    yield reporter
    api.gate.set()
    reporter.stop()


def ended(number: int, **changes: object) -> Report:
    return report(RunState.SUCCEEDED, run_id=f"1.1.hand-{number}.1", **changes)


def acknowledged(reporter: Reporter) -> Callable[[], list[str]]:
    """Says when nothing waits any more, and what was acknowledged until then."""
    return lambda: reporter.acknowledged() if reporter.waiting() == 0 else []


def test_what_was_submitted_is_sent_and_its_end_acknowledged(reporter: Reporter, api: Api) -> None:
    reporter.submit(ended(1))
    reporter.submit(report(RunState.RUNNING))
    reporter.start()
    assert wait_until(acknowledged(reporter)) == ["1.1.hand-1.1"]
    assert reporter.acknowledged() == []


def test_of_one_run_only_the_newest_report_waits(reporter: Reporter, api: Api) -> None:
    reporter.submit(report(RunState.RUNNING))
    reporter.submit(report(RunState.SUCCEEDED))
    assert reporter.waiting() == 1
    reporter.start()
    wait_until(acknowledged(reporter))
    assert [[each.state for each in batch] for batch in api.batches] == [[RunState.SUCCEEDED]]


def test_a_report_that_comes_while_an_older_one_is_on_its_way_is_sent_too(
    reporter: Reporter, api: Api
) -> None:
    api.gate.clear()
    reporter.submit(report(RunState.RUNNING))
    reporter.start()
    wait_until(lambda: api.batches)
    reporter.submit(report(RunState.SUCCEEDED))
    api.gate.set()
    wait_until(acknowledged(reporter))
    assert [batch[0].state for batch in api.batches] == [RunState.RUNNING, RunState.SUCCEEDED]


def test_an_end_counts_as_acknowledged_when_the_newest_word_on_it_is(reporter: Reporter, api: Api) -> None:
    api.gate.clear()
    reporter.submit(ended(1))
    reporter.start()
    wait_until(lambda: api.batches)
    reporter.submit(ended(1, stdout=FULL))
    api.gate.set()
    assert wait_until(acknowledged(reporter)) == ["1.1.hand-1.1"]
    assert len(api.batches) == 2


def test_an_acknowledgement_that_nobody_has_asked_for_yet_is_void_once_there_is_more_to_say(
    reporter: Reporter, api: Api
) -> None:
    """Else a run's folder would go before the API knows where the rest of its output lies."""
    reporter.submit(ended(1))
    reporter.start()
    wait_until(lambda: reporter.waiting() == 0)
    api.gate.clear()
    reporter.submit(ended(1, stdout=FULL))
    assert reporter.acknowledged() == []
    api.gate.set()
    assert wait_until(acknowledged(reporter)) == ["1.1.hand-1.1"]


def test_while_the_api_is_away_reports_wait_and_are_sent_again(reporter: Reporter, api: Api) -> None:
    api.there = False
    reporter.submit(ended(1))
    reporter.start()
    wait_until(lambda: len(api.batches) > 1)
    assert reporter.waiting() == 1
    api.there = True
    assert wait_until(acknowledged(reporter)) == ["1.1.hand-1.1"]


def test_many_small_reports_go_in_few_batches(reporter: Reporter, api: Api) -> None:
    for number in range(2 * MAX_BATCH + 1):
        reporter.submit(ended(number))
    reporter.start()
    wait_until(lambda: reporter.waiting() == 0)
    assert [len(batch) for batch in api.batches] == [MAX_BATCH, MAX_BATCH, 1]


def at(minute: int, number: int) -> Report:
    """The end of a run at that minute."""
    return ended(number, ended_at=NOW + timedelta(minutes=minute))


def test_reports_go_in_the_order_in_which_things_happened(reporter: Reporter, api: Api) -> None:
    """Whatever order a daemon that was started again finds them in."""
    for number, minute in enumerate([3, 1, 2]):
        reporter.submit(at(minute, number))
    reporter.submit(report(RunState.RUNNING, started_at=NOW + timedelta(minutes=1.5)))
    assert reporter.oldest() == NOW + timedelta(minutes=1)
    reporter.start()
    wait_until(acknowledged(reporter))
    ((first, second, third, fourth),) = api.batches
    assert [each.run_id.split("-")[-1] for each in (first, third, fourth)] == ["1.1", "2.1", "0.1"]
    assert second.state is RunState.RUNNING
    assert reporter.oldest() is None


def test_a_newer_report_of_a_run_goes_after_what_happened_before_it(reporter: Reporter, api: Api) -> None:
    reporter.submit(report(RunState.RUNNING, run_id="1.1.hand-1.1"))
    reporter.submit(at(5, 2))
    reporter.submit(at(6, 1))
    reporter.start()
    wait_until(acknowledged(reporter))
    assert [[each.run_id for each in batch] for batch in api.batches] == [["1.1.hand-2.1", "1.1.hand-1.1"]]


def test_a_report_that_the_api_refuses_holds_up_no_other(reporter: Reporter, api: Api) -> None:
    api.refuses = {"1.1.hand-3.1"}
    for number in range(30):
        reporter.submit(at(number, number))
    reporter.start()
    wait_until(lambda: reporter.waiting() == 1)
    assert len(set(reporter.acknowledged())) == 29
    api.refuses = set()
    assert wait_until(acknowledged(reporter)) == ["1.1.hand-3.1"]


def test_what_a_run_wrote_is_read_when_its_end_is_sent(reporter: Reporter, api: Api, tmp_path: Path) -> None:
    folder = RunFolder.make(tmp_path, plan())
    (folder.path / "stdout").write_bytes(b"out and more")
    api.there = False
    sizes = {"stdout": Output(size=3, data=b""), "stderr": Output(size=0, data=b"")}
    reporter.submit(report(RunState.SUCCEEDED, **sizes), folder)
    reporter.start()
    wait_until(lambda: len(api.batches) > 1)
    api.there = True
    wait_until(lambda: reporter.waiting() == 0)
    assert {batch[0].stdout for batch in api.batches} == {Output(size=3, data=b"out")}


def test_an_end_whose_folder_is_gone_is_sent_without_what_was_written(
    reporter: Reporter, api: Api, tmp_path: Path
) -> None:
    folder = RunFolder.make(tmp_path, plan())
    folder.remove()
    reporter.submit(report(RunState.SUCCEEDED, stdout=Output(size=3, data=b"")), folder)
    reporter.start()
    wait_until(lambda: reporter.waiting() == 0)
    assert [each.stdout for each in api.batches[0]] == [Output(size=3, data=b"")]


def test_an_api_that_acknowledges_nothing_is_not_asked_without_a_pause() -> None:
    asked: list[int] = []

    def nothing(batch: Sequence[Report]) -> list[str]:
        asked.append(len(batch))
        return []

    reporter = Reporter(nothing, lambda: None, Pace(lambda: 1.0))
    reporter.submit(ended(1))
    reporter.start()
    wait_until(lambda: len(asked) == 2)
    reporter.stop()
    assert len(asked) <= 3
    assert reporter.waiting() == 1


def test_large_outputs_go_in_batches_that_the_api_takes(reporter: Reporter, api: Api) -> None:
    for number in range(MAX_BATCH):
        reporter.submit(ended(number, stdout=FULL, stderr=FULL))
    reporter.start()
    wait_until(lambda: reporter.waiting() == 0)
    assert sum(len(batch) for batch in api.batches) == MAX_BATCH
    assert max(len(encode(batch)) for batch in api.batches) < API_TAKES / 4


def test_what_waits_is_sent_before_it_stops(api: Api) -> None:
    reporter = Reporter(api, lambda: None)
    reporter.start()
    reporter.submit(ended(1))
    reporter.stop()
    assert reporter.waiting() == 0
