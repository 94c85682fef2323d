"""Runs that write much, in a fleet: what becomes of them is known soon, and all of it is stored in the end."""

from datetime import timedelta

from support.fakes import BEGIN, FakeUploads
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import Output, RunState
from cronkeeper.common.store import runs
from cronkeeper.common.store.schema import Stream
from cronkeeper.worker.kept import IN_REPORT
from cronkeeper.worker.outbox import PATIENCE

END = BEGIN + timedelta(seconds=35)
"""When the run of the first minute has ended."""
RUN = "1.1.20260301T120100Z.1"
MUCH = 2 * IN_REPORT


def written(fleet: Fleet, **policies: object) -> None:
    """A job whose run is about to end, and has written much."""
    fleet.submit(schedule="1 * * * *", **policies)
    fleet.until(END - timedelta(seconds=1))
    (fleet.machines["alpha"].runs / RUN / "stdout").write_bytes(b"x" * MUCH)


def uploads(fleet: Fleet) -> FakeUploads:
    found = fleet.daemons["alpha"].uploads
    assert found is not None
    return found


def output(fleet: Fleet) -> Output | None:
    return fleet.store.transaction(lambda connection: runs.output(connection, RUN, Stream.STDOUT))


def test_an_end_comes_with_its_output_where_that_is_stored_at_once(fleet: Fleet) -> None:
    written(fleet)
    fleet.until(END + timedelta(seconds=0.5))
    assert fleet.runs()[RUN].state is RunState.RUNNING
    assert uploads(fleet).requested == {RUN: {"stdout": MUCH}}
    uploads(fleet).finish(RUN)
    fleet.go(0.5)
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    stored = output(fleet)
    assert stored is not None
    assert (stored.size, stored.stored) == (MUCH, MUCH)
    assert fleet.machines["alpha"].folders() == []
    assert complaints(fleet) == []


def test_while_the_store_is_away_ends_are_known_and_whole_outputs_wait(fleet: Fleet) -> None:
    written(fleet)
    other = fleet.submit(schedule="2 * * * *")
    fleet.until(END + timedelta(seconds=PATIENCE + 0.5))
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    part = output(fleet)
    assert part is not None
    assert (part.size, part.stored) == (MUCH, None)
    fleet.until(END + timedelta(minutes=30))
    assert fleet.runs()["2.1.20260301T120200Z.1"].state is RunState.SUCCEEDED
    assert fleet.claim(other)[1].unfinished == ()
    assert fleet.machines["alpha"].folders() == [RUN]
    uploads(fleet).finish(RUN)
    fleet.go(1)
    whole = output(fleet)
    assert whole is not None
    assert whole.stored == MUCH
    assert fleet.machines["alpha"].folders() == []
    assert complaints(fleet) == []


def test_a_run_whose_output_waits_keeps_no_tick_of_its_job_from_running(fleet: Fleet) -> None:
    job = fleet.submit(schedule="1,2 * * * *")
    fleet.until(END - timedelta(seconds=1))
    (fleet.machines["alpha"].runs / RUN / "stdout").write_bytes(b"x" * MUCH)
    fleet.until(END + timedelta(seconds=90))
    assert fleet.starts() == [RUN, "1.1.20260301T120200Z.1"]
    assert [run.outcome is None for run in fleet.claim(job)[1].unfinished] == [False]


def test_a_daemon_that_is_started_again_stores_what_waits(fleet: Fleet) -> None:
    written(fleet)
    fleet.until(END + timedelta(seconds=30))
    fleet.restart("alpha")
    fleet.go(10)
    uploads(fleet).finish(RUN)
    fleet.go(1)
    whole = output(fleet)
    assert whole is not None
    assert whole.stored == MUCH
    assert fleet.machines["alpha"].folders() == []
    assert complaints(fleet) == []


def test_what_a_job_does_not_want_kept_is_not_stored(fleet: Fleet) -> None:
    written(fleet, max_output=IN_REPORT)
    fleet.until(END + timedelta(seconds=1))
    assert uploads(fleet).requested == {}
    assert fleet.runs()[RUN].state is RunState.SUCCEEDED
    assert fleet.machines["alpha"].folders() == []
