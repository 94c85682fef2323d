"""Jobs whose schedules count seconds, in a fleet on a virtual clock: punctual, each once, and no flood of skips."""

from datetime import datetime, timedelta

from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import Concurrency, Job, RunState, StartedBy

SETTLED = 30.0


def ids(job: Job, *seconds: int, begin: datetime | None = None) -> set[str]:
    """The runs of the ticks so many seconds after the job was made, or after `begin`."""
    first = (job.effective_from if begin is None else begin).replace(microsecond=0)
    return {f"{job.id}.1.{first + timedelta(seconds=each):%Y%m%dT%H%M%SZ}.1" for each in seconds}


def away(fleet: Fleet, seconds: float) -> None:
    """The daemon is killed, and comes back to its session after a while."""
    session = fleet.daemons["alpha"].tree.session()
    fleet.stop("alpha")
    fleet.go(seconds)
    fleet.work("alpha", (session.id, session.password))


def test_each_is_started_to_the_moment_also_on_a_whole_minute_and_though_cron_is_trusted(
    fleet: Fleet,
) -> None:
    fleet.machines["alpha"].run_seconds = 1.0
    by_fields = fleet.submit(schedule="*/10 * * * * *")
    counted = fleet.submit(schedule="@every 15s")
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(BEGIN + timedelta(seconds=40.01))
    expected = ids(by_fields, 10, 20, 30, 40, begin=BEGIN)
    assert expected <= set(fleet.starts()) <= expected | ids(counted, 15, 30)
    assert {run.started_by for run in fleet.runs().values()} <= {StartedBy.CLOCK, StartedBy.ADOPTION}
    fleet.until(counted.effective_from + timedelta(seconds=90.01))
    assert ids(counted, 15, 30, 45, 60, 75, 90) <= set(fleet.starts())
    fleet.go(3)
    assert complaints(fleet) == []


def test_what_falls_due_while_the_daemon_is_away_for_seconds_runs_once_each(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 0.5
    job = fleet.submit(schedule="@every 2s", concurrency=Concurrency.ALLOW)
    fleet.go(10.5)
    for seconds in (4, 3, 5):
        away(fleet, seconds)
        fleet.go(7)
    fleet.change(job, enabled=False)
    assert sorted(fleet.starts()) == sorted(ids(job, *range(2, 43, 2)))
    fleet.go(SETTLED)
    assert complaints(fleet) == []


def test_a_run_that_outlasts_its_ticks_skips_each_at_once_and_one_row_tells_of_those_seen_together(
    fleet: Fleet,
) -> None:
    fleet.machines["alpha"].run_seconds = 5.2
    job = fleet.submit(schedule="@every 1s")
    fleet.go(30.5)
    before = fleet.runs()
    ran = [run for run in before.values() if run.state is not RunState.SKIPPED]
    assert len(ran) == 5
    assert set(before) == ids(job, *range(1, 31))
    away(fleet, 5)
    fleet.go(0.3)
    assert len(set(fleet.runs()) - set(before)) <= 2, "five ticks that are seen together are no five rows"
    fleet.change(job, enabled=False)
    fleet.go(SETTLED)
    assert complaints(fleet) == []
