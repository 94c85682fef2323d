"""What a caller sees when the database, or the way to it, fails: never a lost commit, always `Unavailable`."""

import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from support.proxy import Proxy
from support.samples import NOW, at_once, new_job
from support.wait import wait_until
from testbed.services import MariaDB

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.store import audit, engine, jobs, leader
from cronkeeper.common.store.store import Store

COMMITTER = """
import sys
from datetime import UTC, datetime
from cronkeeper.common.store import audit
from cronkeeper.common.store.store import Store
store = Store(sys.argv[1])
now = datetime.now(UTC)
for number in range(1_000_000):
    store.transaction(lambda conn: audit.add(
        conn, actor="x", action="x", job_id=number, detail="", now=now))
    print(number, flush=True)
"""


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    with Proxy(mariadb.host, mariadb.port) as proxy:
        yield proxy


@pytest.fixture
def store(maria_url: str, proxy: Proxy) -> Iterator[Store]:
    """A store on MariaDB, by way of the proxy."""
    url = sa.make_url(maria_url).set(port=proxy.port)
    store = Store(url.render_as_string(hide_password=False))
    store.upgrade()
    yield store
    store.close()


def insert(conn: Connection) -> None:
    jobs.insert(conn, new_job(), "ann", NOW)


def count(store: Store) -> int:
    return len(store.transaction(jobs.listing))


def works(store: Store) -> bool:
    try:
        store.check()
    except Unavailable:
        return False
    return True


def test_the_store_works_again_by_itself_after_the_server_was_killed(
    own_mariadb: Callable[[], MariaDB],
) -> None:
    server = own_mariadb()
    store = Store(server.create_database("jobs"))
    store.upgrade()
    store.transaction(insert)
    server.kill()
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.transaction(insert)
    server.start()
    assert count(store) == 1
    store.transaction(insert)
    assert count(store) == 2
    store.close()


def test_a_server_that_is_killed_in_the_middle_of_a_transaction_is_unavailable(
    own_mariadb: Callable[[], MariaDB],
) -> None:
    server = own_mariadb()
    store = Store(server.create_database("jobs"))
    store.upgrade()

    def work(conn: Connection) -> None:
        insert(conn)
        server.kill()
        insert(conn)

    with pytest.raises(Unavailable):
        store.transaction(work)
    server.start()
    assert count(store) == 0
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_no_acknowledged_commit_is_lost_by_kill_9(
    kind: str, tmp_path: Path, own_mariadb: Callable[[], MariaDB]
) -> None:
    """SQLite dies with the process that has it open; of MariaDB the server is killed."""
    server = own_mariadb() if kind == "mariadb" else None
    url = f"sqlite:///{tmp_path / 'jobs.db'}" if server is None else server.create_database("jobs")
    store = Store(url)
    store.upgrade()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITTER, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        head = b"".join(process.stdout.readline() for _ in range(200))
        (process if server is None else server).kill()
        acknowledged = (head + process.communicate(timeout=20)[0]).split(b"\n")[:-1]
    finally:
        process.kill()
    if server is not None:
        server.start()
    kept = {entry.job_id for entry in store.transaction(lambda conn: audit.listing(conn, limit=10**6))}
    assert len(acknowledged) >= 200
    assert {int(number) for number in acknowledged} <= kept
    store.close()


def test_a_commit_whose_answer_is_lost_is_unavailable_and_has_landed(store: Store, proxy: Proxy) -> None:
    def work(conn: Connection) -> None:
        insert(conn)
        proxy.swallow_replies()

    def cut_after_the_commit() -> None:
        wait_until(lambda: proxy.swallowed > 0)
        proxy.cut()

    cutter = threading.Thread(target=cut_after_the_commit)
    cutter.start()
    with pytest.raises(Unavailable):
        store.transaction(work)
    cutter.join()
    proxy.heal()
    assert count(store) == 1


def test_a_transaction_that_is_cut_off_in_the_middle_leaves_nothing(store: Store, proxy: Proxy) -> None:
    def work(conn: Connection) -> None:
        insert(conn)
        proxy.cut()
        insert(conn)

    with pytest.raises(Unavailable):
        store.transaction(work)
    with pytest.raises(Unavailable):
        count(store)
    proxy.heal()
    assert count(store) == 0


def test_a_transaction_that_is_cut_off_before_its_commit_leaves_nothing(store: Store, proxy: Proxy) -> None:
    def work(conn: Connection) -> None:
        insert(conn)
        proxy.cut()

    with pytest.raises(Unavailable):
        store.transaction(work)
    proxy.heal()
    assert count(store) == 0


def test_a_link_that_breaks_again_and_again_loses_no_acknowledged_commit(store: Store, proxy: Proxy) -> None:
    end = time.monotonic() + 2

    def insert_often(thread: int) -> list[int]:
        acknowledged: list[int] = []
        for number in itertools.count(thread, 4):
            if time.monotonic() > end:
                return acknowledged
            try:
                store.transaction(partial(note, number=number))
            except Unavailable:
                continue
            acknowledged.append(number)
        raise AssertionError

    def break_often() -> list[int]:
        pauses = random.Random(1)
        while time.monotonic() < end:
            time.sleep(pauses.uniform(0, 0.1))
            proxy.cut()
            proxy.heal()
        return []

    told = at_once([break_often, *(partial(insert_often, thread) for thread in range(4))])
    kept = {entry.job_id for entry in store.transaction(lambda conn: audit.listing(conn, limit=10**6))}
    assert {number for some in told for number in some} <= kept
    assert all(told[1:])


def note(conn: Connection, number: int) -> None:
    """Large enough now and then to be cut within."""
    detail = "x" * (300_000 if number % 3 == 0 else 10)
    audit.add(conn, actor="x", action="x", job_id=number, detail=detail, now=NOW)


def test_a_link_that_broke_while_idle_is_replaced_without_a_word(store: Store, proxy: Proxy) -> None:
    store.transaction(insert)
    proxy.cut()
    proxy.heal()
    assert count(store) == 1


def test_a_link_that_the_server_closes_in_a_transaction_is_unavailable(
    store: Store, mariadb: MariaDB
) -> None:
    def work(conn: Connection) -> None:
        insert(conn)
        mariadb.execute(f"KILL {conn.scalar(sa.text('SELECT connection_id()'))}")
        insert(conn)

    with pytest.raises(Unavailable):
        store.transaction(work)
    assert count(store) == 0


def test_a_server_that_falls_silent_is_unavailable(
    maria_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT", 1)
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT", 1)
    url = sa.make_url(maria_url).set(port=proxy.port)
    store = Store(url.render_as_string(hide_password=False))
    store.upgrade()

    def work(conn: Connection) -> None:
        insert(conn)
        proxy.swallow_replies()
        insert(conn)

    for doomed in (work, leader.read):
        begin = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            store.transaction(doomed)
        assert time.monotonic() - begin < 4
        # Else the next user would get the late answer to our question.
        assert isinstance(caught.value.__cause__, sa.exc.DBAPIError)
        assert caught.value.__cause__.connection_invalidated
    proxy.heal()
    wait_until(lambda: works(store))
    assert count(store) == 0
    store.close()
