"""A database that can't be used at all: what the error says, and how soon."""

import re
import socket
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection
from support.samples import NOW, new_job
from testbed.services import MariaDB, free_port

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.store import jobs
from cronkeeper.common.store.store import Store


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    port = free_port()
    store = Store(f"mysql://ann:secret@127.0.0.1:{port}/jobs")
    for refused in (store.check, store.upgrade):
        begin = time.monotonic()
        with pytest.raises(Unavailable, match=re.escape(f"mysql://ann@127.0.0.1:{port}/jobs")) as caught:
            refused()
        assert time.monotonic() - begin < 5
        assert "secret" not in str(caught.value)


def test_a_server_that_accepts_and_says_nothing_is_unavailable_in_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        store = Store(f"mysql://ann:secret@127.0.0.1:{mute.getsockname()[1]}/jobs")
        begin = time.monotonic()
        with pytest.raises(Unavailable):
            store.check()
        assert time.monotonic() - begin < 5.5


def test_a_wrong_password_or_database_is_unavailable_and_says_why(mariadb: MariaDB) -> None:
    address = f"{mariadb.host}:{mariadb.port}"
    with pytest.raises(Unavailable, match="Access denied"):
        Store(f"mysql://nobody:wrong@{address}/x").check()
    with pytest.raises(Unavailable, match="Unknown database 'nowhere'"):
        Store(f"mysql://{mariadb.user}:{mariadb.password}@{address}/nowhere").check()


def test_a_host_that_has_no_address_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid"):
        Store("mysql://ann:secret@no-such-host.invalid/jobs").check()


def test_a_file_that_can_not_be_opened_or_is_no_database_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open"):
        Store(f"sqlite:///{tmp_path}/missing/jobs.db").check()
    (tmp_path / "jobs.db").write_text("this is no database at all, whatever its name says" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        Store(f"sqlite:///{tmp_path}/jobs.db").upgrade()


def test_a_full_disk_is_unavailable_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/jobs.db")
    store.upgrade()

    def work(conn: Connection) -> None:
        jobs.insert(conn, new_job(), "ann", NOW)
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        jobs.insert(conn, new_job(command="x" * 1_000_000), "ann", NOW)

    with pytest.raises(Unavailable, match="full"):
        store.transaction(work)
    assert store.transaction(jobs.listing) == []
    store.close()
