"""What is old goes, in small batches, and what is not stays."""

import io
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.samples import NOW, hand_run, new_job

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.artifacts.store import OutputName
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Output, RunState, replace
from cronkeeper.common.settings import History
from cronkeeper.common.store import idempotency, jobs, leader, runs
from cronkeeper.common.store.idempotency import Key
from cronkeeper.common.store.schema import idempotency as keys
from cronkeeper.common.store.schema import run, run_output
from cronkeeper.common.store.store import Store
from cronkeeper.manager.chore import RETRY
from cronkeeper.manager.retention import JOBS, KEY_DAYS, REST, ROWS, Retention

EPOCH = 1
DAY = timedelta(days=1)


class Shelf(DirectoryStore):
    """A store that may be away."""

    there = True

    def remove_outputs(self, names: Iterable[OutputName]) -> None:
        if not self.there:
            raise Unavailable("S3 is away")
        super().remove_outputs(names)


class House:
    """A database with runs of any age, and a store with what they wrote."""

    def __init__(self, folder: Path, **limits: float) -> None:
        self.store = Store(f"sqlite:///{folder / 'cronkeeper.db'}")
        self.shelf = Shelf(folder / "store")
        self.rung = 0
        self.retention = Retention(self.store, self.shelf, History(**limits), self._ring)  # type: ignore[arg-type]
        self.store.transaction(lambda connection: leader.take(connection, 0, EPOCH, "me"))
        self.retention.lead(EPOCH)

    def _ring(self) -> None:
        self.rung += 1

    def job(self) -> int:
        return self.store.transaction(lambda connection: jobs.insert(connection, new_job(), "ann", NOW)).id

    def ran(
        self, job_id: int, *ages: float, state: RunState = RunState.SUCCEEDED, output: bool = True
    ) -> list[str]:
        """Runs that were made so many days ago; returns their ids in that order."""
        made = [
            replace(hand_run(f"{age:09.3f}", job_id=job_id, created_at=NOW - age * DAY), state=state)
            for age in ages
        ]

        def work(connection: sa.Connection) -> None:
            for one in made:
                runs.request(connection, one)
                for stream in ("stdout", "stderr") if output else ():
                    row = {"run_id": one.id, "stream": stream, "size": 3, "data": b"out", "stored": None}
                    connection.execute(sa.insert(run_output).values(row))

        self.store.transaction(work)
        return [one.id for one in made]

    def stored(self, run_id: str) -> OutputName:
        name = OutputName(run_id, "stdout")
        self.shelf.put_output(name, io.BytesIO(b"all"), 3)
        which = sa.and_(run_output.c.run_id == run_id, run_output.c.stream == "stdout")
        self.store.transaction(
            lambda connection: connection.execute(sa.update(run_output).where(which).values(stored=3))
        )
        return name

    def sweep(self, now: datetime = NOW) -> int:
        """Until it rests; returns how many batches that took."""
        for batches in range(1, 1000):
            if self.retention.step(now) == REST:
                return batches
        raise AssertionError("it never rests")

    def ids(self, column: "sa.Column[str]") -> set[str]:
        return set(self.store.transaction(lambda connection: connection.scalars(sa.select(column)).all()))

    @property
    def runs(self) -> set[str]:
        return self.ids(run.c.id)

    @property
    def outputs(self) -> set[str]:
        return self.ids(run_output.c.run_id)


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    shutil.copy(empty_database, tmp_path)
    return tmp_path


@pytest.fixture
def house(folder: Path) -> Iterator[House]:
    house = House(folder)
    yield house
    house.store.close()


def test_runs_and_outputs_go_by_age(house: House) -> None:
    young, without, gone = house.ran(house.job(), 29.9, 30.1, 90.1)
    house.sweep()
    assert house.runs == {young, without}
    assert house.outputs == {young}
    assert gone not in house.runs


@pytest.mark.parametrize("days", [1e6, 1e300])
def test_more_days_than_there_have_been_are_no_limit(folder: Path, days: float) -> None:
    house = House(folder, runs_days=days, output_days=days)
    made = house.ran(house.job(), 1.0, 10_000.0)
    house.sweep()
    assert house.runs == house.outputs == set(made)


def test_runs_and_outputs_go_by_number_of_each_job(folder: Path) -> None:
    house = House(folder, runs_per_job=5, output_per_job=2)
    of_one, of_other = (house.ran(house.job(), *(age / 100 for age in range(7))) for _ in range(2))
    house.sweep()
    assert house.runs == {*of_one[:5], *of_other[:5]}
    assert house.outputs == {*of_one[:2], *of_other[:2]}


def test_a_limit_of_0_is_none(folder: Path) -> None:
    house = House(folder, runs_days=0, runs_per_job=0, output_days=0, output_per_job=0)
    ran = house.ran(house.job(), *range(300))
    house.sweep()
    assert house.runs == house.outputs == set(ran)


def test_a_jobs_newest_run_and_what_has_not_ended_stay(folder: Path) -> None:
    house = House(folder, runs_per_job=1)
    job_id, other = house.job(), house.job()
    newest, *_ = house.ran(job_id, 500, 501, 502)
    going_on = house.ran(job_id, 700, state=RunState.RUNNING, output=False)
    queued = house.ran(other, 800, 900, state=RunState.QUEUED, output=False)
    house.sweep()
    assert house.runs == {newest, *going_on, *queued}
    assert house.outputs == set()


def test_runs_of_the_same_moment_are_told_apart(folder: Path) -> None:
    house = House(folder, runs_per_job=3)
    job_id = house.job()
    made = [hand_run(f"{number}", job_id=job_id) for number in range(6)]
    ended = [replace(one, state=RunState.FAILED) for one in made]
    house.store.transaction(lambda connection: [runs.request(connection, one) for one in ended])
    house.sweep()
    assert house.runs == {one.id for one in ended[3:]}


def test_what_lies_in_the_store_goes_with_it(house: House) -> None:
    young, old = house.ran(house.job(), 1, 40)
    kept, removed = house.stored(young), house.stored(old)
    house.sweep()
    house.shelf.open_output(kept).close()
    assert list((house.shelf._root / "outputs").iterdir()) == [house.shelf._root / "outputs" / young]
    assert removed.run_id in house.runs


def test_while_the_store_is_away_the_rows_stay_and_go_later(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    _, old = house.ran(house.job(), 1, 40)
    house.stored(old)
    house.shelf.there = False
    assert [house.retention.step(NOW) for _ in range(3)] == [RETRY] * 3
    assert old in house.outputs
    assert [record.getMessage() for record in caplog.records] == [
        "old runs and outputs stay for now: S3 is away"
    ]
    house.shelf.there = True
    house.sweep()
    assert old not in house.outputs


def test_a_long_history_goes_in_batches(folder: Path) -> None:
    house = House(folder, runs_per_job=10, output_per_job=5)
    one, other = house.job(), house.job()
    kept = house.ran(one, *range(3 * ROWS + 10))[:10]
    kept_too = house.ran(other, 1)
    left = len(house.runs)
    batches = 0
    while house.retention.step(NOW) == 0.0:
        batches += 1
        assert left - ROWS <= len(house.runs) <= left
        left = len(house.runs)
    assert batches >= 3
    assert house.runs == {*kept, *kept_too}
    assert house.outputs == {*kept[:5], *kept_too}


def test_many_outputs_are_looked_at_a_page_at_a_time(folder: Path) -> None:
    house = House(folder, runs_per_job=0, runs_days=0, output_per_job=650, output_days=0)
    ran = house.ran(house.job(), *(age / 1000 for age in range(700)))
    batches = house.sweep()
    assert batches > 1
    assert house.outputs == set(ran[:650])


def test_many_jobs_are_gone_through_and_then_begun_anew(house: House) -> None:
    first, *_, last = [house.job() for _ in range(2 * JOBS + 1)]
    house.ran(last, 1, 100)
    assert house.sweep() == 3
    assert len(house.runs) == 1
    house.ran(first, 1, 100)
    house.sweep()
    assert len(house.runs) == 2


def test_outputs_without_a_run_go_and_those_of_jobs_with_similar_numbers_stay(house: House) -> None:
    job_ids = [house.job() for _ in range(12)]
    kept = [*house.ran(job_ids[0], 1), *house.ran(job_ids[9], 1), *house.ran(job_ids[10], 1)]
    row = {"run_id": "1.1.hand-lost.1", "stream": "stdout", "size": 1, "data": b"x"}
    house.store.transaction(lambda connection: connection.execute(sa.insert(run_output).values(row)))
    house.sweep()
    assert house.outputs == set(kept)


def test_idempotency_keys_go_after_a_week(house: House) -> None:
    for number, age in enumerate((KEY_DAYS - 0.1, KEY_DAYS + 0.1, 100)):
        key = Key(actor="ann", key=f"k{number}", fingerprint="f")
        house.store.transaction(lambda c, key=key, age=age: idempotency.add(c, key, 1, NOW - age * DAY))
    house.sweep()
    assert house.ids(keys.c.key) == {"k0"}


def test_nothing_is_done_without_a_reign(house: House) -> None:
    house.ran(house.job(), 1, 100)
    house.retention.lead(None)
    assert house.retention.step(NOW) == REST
    assert len(house.runs) == 2
    house.retention.lead(EPOCH)
    assert house.rung == 3
    house.sweep()
    assert len(house.runs) == 1


def test_a_leader_that_was_deposed_removes_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.ran(house.job(), 1, 100)
    house.store.transaction(lambda connection: leader.take(connection, EPOCH, EPOCH + 1, "another"))
    assert house.retention.step(NOW) == RETRY
    assert len(house.runs) == 2
    assert "deposed" in caplog.text


def test_a_late_report_of_a_run_that_was_removed_comes_and_goes_again(house: House) -> None:
    from support.samples import report

    job_id = house.job()
    house.ran(job_id, 1)
    late = report(RunState.SUCCEEDED, job_id=job_id, stdout=Output(size=3, data=b"out"))
    house.store.transaction(lambda connection: runs.record(connection, late, NOW))
    house.ran(job_id, -1)
    house.sweep(NOW + 89 * DAY)
    assert late.run_id in house.runs
    house.sweep(NOW + 91 * DAY)
    assert late.run_id not in house.runs
