"""Who starts a tick: cron where it is trusted, the worker's own clock where it is not, or where it is too slow."""

from datetime import timedelta

from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints

from cronkeeper.common.model import StartedBy
from cronkeeper.worker.timetable import CRONS_SHARE
from cronkeeper.worker.worker import MAX_CLAIMS

SOON = "1 * * * *"
"""Due at 12:01, half a minute after the beginning."""
NEVER = "0 0 1 1 *"
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"


def test_where_cron_is_trusted_its_files_start_the_tick_and_the_clock_waits(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(TICK + timedelta(seconds=1))
    assert fleet.starts() == []
    fleet.machines["alpha"].filed.add(1)
    fleet.loops["alpha"].bell.set()
    fleet.go(0.1)
    assert fleet.runs()[RUN].started_by is StartedBy.CRON


def test_the_first_tick_that_cron_files_opens_the_minute_for_all_that_are_due_in_it(fleet: Fleet) -> None:
    for schedule in (SOON, SOON, "2 * * * *"):
        fleet.submit(schedule=schedule)
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(TICK + timedelta(seconds=1))
    fleet.machines["alpha"].filed.add(1)
    fleet.loops["alpha"].bell.set()
    fleet.go(0.1)
    assert fleet.starts() == [RUN, "2.1.20260301T120100Z.1"]
    assert {run.started_by for run in fleet.runs().values()} == {StartedBy.CRON}
    fleet.until(TICK + timedelta(seconds=80))
    assert fleet.starts()[2:] == ["3.1.20260301T120200Z.1"]
    assert complaints(fleet) == []


def test_cron_has_its_share_of_a_crowded_minute_and_the_clock_starts_the_rest_at_once(fleet: Fleet) -> None:
    fleet.daemons["alpha"].table.trusted = True
    for _ in range(CRONS_SHARE + 20):
        fleet.submit(schedule=SOON)
    fleet.until(TICK + timedelta(seconds=1))
    assert {run.started_by for run in fleet.runs().values()} == {StartedBy.CLOCK}
    assert len(fleet.starts()) == 20
    fleet.machines["alpha"].filed.add(1)
    fleet.loops["alpha"].bell.set()
    fleet.go(1)
    assert len(set(fleet.starts())) == len(fleet.starts()) == CRONS_SHARE + 20
    crons = [run for run in fleet.runs().values() if run.started_by is StartedBy.CRON]
    assert len(crons) == CRONS_SHARE


def test_many_jobs_due_at_once_are_claimed_a_few_at_a_time_and_each_starts_once(fleet: Fleet) -> None:
    jobs = [fleet.submit(schedule=SOON) for _ in range(3 * MAX_CLAIMS // 2)]
    fleet.until(TICK - timedelta(seconds=1))
    fleet.time.seconds += 1
    worker = fleet.daemons["alpha"].worker
    assert worker is not None
    assert worker.step(fleet.time.now) == 0
    assert len(fleet.starts()) == MAX_CLAIMS
    fleet.go(1)
    assert len(set(fleet.starts())) == len(fleet.starts()) == len(jobs)


def test_where_a_trusted_cron_files_nothing_the_clock_starts_the_tick_after_its_grace(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(TICK + timedelta(seconds=4.9))
    assert fleet.starts() == []
    fleet.go(0.2)
    assert fleet.runs()[RUN].started_by is StartedBy.CLOCK


def test_when_cron_is_no_longer_trusted_the_clock_takes_over_at_once(fleet: Fleet) -> None:
    fleet.submit(schedule=SOON)
    table = fleet.daemons["alpha"].table
    table.trusted = True
    fleet.until(TICK + timedelta(seconds=1))
    table.trusted = False
    fleet.loops["alpha"].bell.set()
    fleet.go(0)
    assert fleet.starts() == [RUN]


def test_what_cron_files_that_is_not_due_or_not_ours_starts_nothing(fleet: Fleet) -> None:
    fleet.submit(schedule=NEVER)
    fleet.go(3)
    fleet.machines["alpha"].filed |= {1, 99}
    fleet.loops["alpha"].bell.set()
    fleet.go(5)
    assert fleet.starts() == []
