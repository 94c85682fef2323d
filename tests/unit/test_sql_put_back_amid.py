"""SQL is put back to a backup while something else is the matter; and what is not taken for that."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import fakes
from support.backups import backup, doubled, put_back, restored, wrong
from support.fakes import BEGIN, Bring, Trouble
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER
from support.promise import blank

from cronkeeper.common.coordination import paths
from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.store import leader
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.restored import spans
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs, ledger
from cronkeeper.manager.put_back import Older, TreeState, older

TICK = BEGIN + timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("tree", "sql", "verdict"),
    [
        ((3, 50, 50), (3, 50), Older.NEITHER),
        ((3, 52, 50), (3, 51), Older.NEITHER),  # a leader died between its writes
        ((3, 50, 50), (4, 50), Older.NEITHER),  # or a candidate did
        ((3, 40, 40), (3, 50), Older.TREE),
        ((0, 0, 0), (3, 50), Older.TREE),
        ((3, 50, 50), (3, 49), Older.SQL),
        ((4, 60, 60), (3, 49), Older.SQL),
        ((4, 60, 0), (3, 49), Older.SQL),
        ((4, 60, 60), (5, 49), Older.SQL),
        ((4, 60, 60), (3, 70), Older.UNCLEAR),
    ],
)
def test_which_of_the_two_is_the_older_one_follows_from_what_each_knows_of_the_other(
    tree: tuple[int, int, int], sql: tuple[int, int], verdict: Older
) -> None:
    assert older(TreeState(*tree), leader.State(*sql, None)) is verdict


def test_a_leader_that_finds_sql_as_it_was_sets_nothing_right(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=10))
    for _ in range(3):
        fleet.restart("first")
        fleet.go(40)
    assert restored(fleet) == []
    window = Window(begin=TICK, end=TICK + 2 * MINUTE, now=fleet.time.now)
    counts = ledger.of_job(fleet.desk, job.id, window, Rules()).summary.results
    assert counts[Result.UNKNOWN] == 0
    assert fleet.job(job).rev == 1


def test_a_tree_that_was_lost_is_not_taken_for_sql_that_was_put_back(fleet: Fleet) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(100)
    copy = fleet.copy_tree()
    fleet.go(100)
    fleet.lose_tree(copy)
    fleet.go(60)
    fleet.lose_tree()
    fleet.go(60)
    assert restored(fleet) == []
    assert fleet.job(job).rev == 1
    assert doubled(fleet) == []


def test_where_each_has_forgotten_what_the_other_knows_nothing_is_done(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    job = fleet.submit(schedule=EACH_MINUTE)
    fleet.go(5)
    mark = int(fleet.desk.tree.get(paths.MARK).data) + 1000
    copy = backup(fleet.store)
    fleet.restart("first")
    fleet.go(40)
    put_back(fleet.store, copy)
    fleet.store.transaction(lambda connection: leader.set_mark(connection, mark, fleet.time.now))
    before = fleet.claims()
    fleet.restart("first")
    fleet.go(40)
    assert "they can't be of one fleet. Nothing is done" in caplog.text
    assert fleet.claims().keys() == before.keys()
    assert restored(fleet) == []
    assert fleet.job(job).rev == 1


def test_of_two_jobs_that_got_one_number_the_older_one_gets_another(fleet: Fleet) -> None:
    fleet.submit(schedule=NEVER)
    fleet.go(5)
    copy = backup(fleet.store)
    older = fleet.submit(schedule=EACH_MINUTE, name="older")
    fleet.until(TICK + timedelta(seconds=30))
    put_back(fleet.store, copy)
    newer = fleet.submit(schedule=NEVER, name="newer")
    assert newer.id == older.id
    fleet.go(10)
    found = {job.name: job.id for job in jobs.listing(fleet.desk, JobQuery())}
    assert found["newer"] == newer.id
    assert found["older"] > newer.id
    assert (
        restored(fleet)[0]
        == f"job 2 (older) is job {found['older']} now: its number was given to another one"
    )
    fleet.until(TICK + MINUTE + timedelta(seconds=10))
    begun = {"2.1.20260301T120100Z.1", f"{found['older']}.1.20260301T120200Z.1"}
    assert sorted(fleet.starts()) == sorted(begun)
    assert wrong(fleet) == []


@pytest.mark.parametrize(("bring", "first"), [(fakes.lose_reply, 0), (fakes.crash_after, 2)])
def test_whatever_call_the_leader_loses_or_dies_at_it_is_set_right_once(
    tmp_path: Path, memory: Store, bring: Bring[Any], first: int
) -> None:
    for at in range(first, 28, 4):
        trouble = Trouble()
        (tmp_path / str(at)).mkdir()
        fleet = Fleet(tmp_path / str(at), blank(memory), trouble={"leader": trouble})
        for name in ("kept", "edited", "removed"):
            fleet.submit(schedule=EACH_MINUTE, name=name)
        fleet.until(TICK + timedelta(seconds=10))
        copy = backup(fleet.store)
        fleet.change(fleet.job_of(2), name="after")
        fleet.remove(fleet.job_of(3))
        fleet.submit(schedule=EACH_MINUTE, name="made")
        fleet.until(TICK + MINUTE + timedelta(seconds=10))
        put_back(fleet.store, copy)
        trouble.arm(at, bring)
        fleet.go(30)
        assert len(trouble.disarm()) > at
        fleet.until(TICK + 2 * MINUTE + timedelta(seconds=40))
        (span,) = fleet.store.transaction(spans)
        assert span.since <= TICK + timedelta(seconds=10)
        assert len(restored(fleet)) == 3
        assert fleet.job_of(2).name == "edited"
        assert len(fleet.starts()) == 3 + 3 + 4
        assert doubled(fleet) == []
        assert wrong(fleet) == []
