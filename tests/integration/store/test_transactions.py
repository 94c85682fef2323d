"""What `Store` promises of its transactions, on both databases while they work."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from support.samples import NOW, at_once, new_job

from cronkeeper.common.errors import Conflict, Invalid, Unavailable
from cronkeeper.common.store import audit, engine, jobs, leader
from cronkeeper.common.store.store import Store


def test_a_transaction_returns_what_its_work_returns_once_all_can_see_it(store: Store, url: str) -> None:
    job = store.transaction(lambda conn: jobs.insert(conn, new_job(), "ann", NOW))
    other = Store(url)
    assert other.transaction(jobs.listing) == [job]
    other.close()


def test_nothing_is_left_of_a_transaction_that_raised(store: Store) -> None:
    def work(conn: Connection) -> None:
        jobs.insert(conn, new_job(), "ann", NOW)
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        store.transaction(work)
    assert store.transaction(jobs.listing) == []


def test_a_wrong_statement_is_a_bug_and_no_outage(store: Store) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        store.transaction(lambda conn: conn.exec_driver_sql("SELECT nothing FROM nowhere"))
    store.check()


def test_a_value_that_is_in_an_error_is_not_shown(store: Store) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught:
        store.transaction(lambda conn: conn.execute(sa.text("SELECT :x FROM nowhere"), {"x": "secret"}))
    assert "secret" not in str(caught.value)


def test_instants_come_back_in_utc_to_the_microsecond(store: Store) -> None:
    summer = datetime(2026, 7, 1, 2, 0, 0, 1, timezone(timedelta(hours=2)))
    job = store.transaction(lambda conn: jobs.insert(conn, new_job(at=summer), "ann", NOW))
    at = store.transaction(lambda conn: jobs.get(conn, job.id)).at
    assert at == datetime(2026, 7, 1, 0, 0, 0, 1, UTC)
    assert at.tzinfo is UTC


def test_an_instant_without_a_time_zone_is_refused(store: Store) -> None:
    naive = datetime(2026, 7, 1)  # noqa: DTZ001
    with pytest.raises(sa.exc.StatementError, match="has no time zone"):
        store.transaction(lambda conn: jobs.insert(conn, new_job(at=naive), "ann", NOW))


def test_threads_that_read_before_they_write_wait_for_each_other(store: Store) -> None:
    def work(conn: Connection) -> None:
        leader.read(conn)
        leader.fence(conn, 0)

    def write_often() -> None:
        for _ in range(100):
            store.transaction(work)

    at_once([write_often] * 8)
    writes = store.transaction(lambda conn: conn.scalar(sa.text("SELECT writes FROM leader")))
    assert writes == 8 * 100


def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    written, read = threading.Event(), threading.Event()

    def write(conn: Connection) -> bool:
        leader.fence(conn, 0)
        written.set()
        return read.wait(10)

    def look() -> int:
        assert written.wait(10)
        epoch = store.transaction(leader.read)
        read.set()
        return epoch

    assert at_once([partial(store.transaction, write), look]) == [True, 0]


def test_a_lock_that_is_held_long_is_waited_for_in_several_attempts(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SQLITE_SESSION", ("PRAGMA busy_timeout = 200",))
    monkeypatch.setattr(engine, "_MYSQL_SESSION", "SET SESSION innodb_lock_wait_timeout = 1")
    impatient = Store(url)
    held, tried = threading.Event(), threading.Event()

    def hold(conn: Connection) -> bool:
        leader.fence(conn, 0)
        held.set()
        assert tried.wait(20)
        # Longer than the other waits for a lock once, and shorter than all its attempts.
        return threading.Event().wait(0.3 if url.startswith("sqlite") else 1.2)

    def insist() -> None:
        assert held.wait(10)
        tried.set()
        impatient.transaction(lambda conn: leader.fence(conn, 0))

    at_once([partial(store.transaction, hold), insist])
    assert store.transaction(lambda conn: conn.scalar(sa.text("SELECT writes FROM leader"))) == 2
    impatient.close()


def test_two_transactions_that_deadlock_both_pass(store: Store) -> None:
    """On MariaDB one of them is rolled back and tried again; SQLite has one writer at a time."""
    pair = [store.transaction(lambda conn: jobs.insert(conn, new_job(), "ann", NOW)) for _ in range(2)]
    both = threading.Barrier(2)
    tries: list[int] = []

    def work(conn: Connection, first: int, second: int) -> None:
        tries.append(first)
        jobs.remove(conn, pair[first].id, NOW)
        if len(tries) <= 2:
            _meet(both)
        jobs.remove(conn, pair[second].id, NOW)

    at_once([partial(store.transaction, partial(work, first=a, second=b)) for a, b in ((0, 1), (1, 0))])
    assert len(tries) == 3 or store.url_for_people.startswith("sqlite")
    assert store.transaction(jobs.assignments) == {}


def _meet(both: threading.Barrier) -> None:
    """Wait until the other holds its lock too, or can't because of ours."""
    try:
        both.wait(1)
    except threading.BrokenBarrierError:
        return


def test_long_and_strange_text_survives(store: Store) -> None:
    detail = "\x00\\'\"%s :x 🗄 \r\n\t" * 50_000
    store.transaction(
        lambda conn: audit.add(conn, actor="é", action="x", job_id=None, detail=detail, now=NOW)
    )
    assert store.transaction(audit.listing)[0].detail == detail


def test_a_text_that_is_too_long_for_mariadb_is_refused_and_not_cut(maria_url: str) -> None:
    store = Store(maria_url)
    store.upgrade()
    with pytest.raises(sa.exc.DataError):
        store.transaction(lambda conn: jobs.insert(conn, new_job(name="x" * 201), "ann", NOW))
    store.close()


def test_a_database_without_our_tables_is_not_ready(url: str) -> None:
    store = Store(url)
    with pytest.raises(Unavailable, match="lacks cronkeeper's tables"):
        store.check()
    store.upgrade()
    store.check()
    store.close()


def test_a_store_in_memory_serves_many_threads() -> None:
    store = Store("sqlite://")
    store.upgrade()
    at_once([lambda: store.transaction(lambda conn: leader.fence(conn, 0))] * 8)
    assert store.transaction(lambda conn: conn.scalar(sa.text("SELECT writes FROM leader"))) == 8
    store.close()


@pytest.mark.parametrize("url", ["postgresql://ann:secret@db/x", "mysql//ann:secret@db", "", "sqlite+odd://"])
def test_another_kind_of_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(Invalid, match="must begin with sqlite:// or mysql://") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://ann:secret@db/jobs?ssl_key=secret", "mysql://ann@db:3306/jobs"),
        ("mariadb+mysqlconnector://ann:secret@db:3307/jobs", "mysql://ann@db:3307/jobs"),
        ("sqlite:////var/lib/cronkeeper.db", "sqlite:////var/lib/cronkeeper.db"),
    ],
)
def test_the_url_for_people_has_no_secrets(url: str, shown: str) -> None:
    assert Store(url).url_for_people == shown
