"""Migrations, on both databases: they end at exactly the tables in the code, however they are run."""

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from support.samples import NOW, new_job

from cronkeeper.common.model import CatchUp, Concurrency, JobStatus, JobType
from cronkeeper.common.store import jobs, leader
from cronkeeper.common.store.migrations import NEWEST
from cronkeeper.common.store.schema import job as job_rows
from cronkeeper.common.store.schema import metadata
from cronkeeper.common.store.store import Store
from cronkeeper.common.store.upgrade import _config

UPGRADE = "import sys; from cronkeeper.common.store.store import Store; Store(sys.argv[1]).upgrade()"


def differences(conn: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(conn), metadata))


def test_the_migrations_make_exactly_the_tables_in_the_code(store: Store) -> None:
    assert store.transaction(differences) == []


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE run DROP COLUMN reason", "DROP TABLE audit", "ALTER TABLE node ADD COLUMN x INTEGER"],
)
def test_a_difference_would_be_seen(store: Store, change: str) -> None:
    store.transaction(lambda conn: conn.exec_driver_sql(change))
    assert store.transaction(differences) != []


def test_the_tables_in_mariadb_compare_text_byte_by_byte(maria_url: str) -> None:
    store = Store(maria_url)
    store.upgrade()
    query = (
        "SELECT DISTINCT collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND collation_name IS NOT NULL AND table_name != 'alembic_version'"
    )
    assert store.transaction(lambda conn: conn.exec_driver_sql(query).all()) == [("utf8mb4_bin",)]
    store.close()


def test_the_newest_form_is_the_one_that_the_code_calls_so(store: Store) -> None:
    heads = store.transaction(lambda conn: MigrationContext.configure(conn).get_current_heads())
    assert heads == (NEWEST,)


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(store: Store) -> None:
    job = store.transaction(lambda conn: jobs.insert(conn, new_job(), "ann", NOW))
    store.transaction(lambda conn: leader.take(conn, 0, 3, "one"))
    store.upgrade()
    assert store.transaction(jobs.listing) == [job]
    assert store.transaction(leader.read) == 3


def test_processes_may_upgrade_at_the_same_moment(url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        errors = [process.communicate(timeout=60)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert errors == [""] * 4
    store = Store(url)
    assert store.transaction(differences) == []
    assert store.transaction(leader.read) == 0
    store.close()


def test_an_upgrade_that_was_killed_half_way_is_finished_by_the_next(store: Store) -> None:
    """What MySQL leaves of it: some tables, and no version."""

    def half(conn: Connection) -> None:
        for statement in ("DROP TABLE audit", "DELETE FROM leader", "DELETE FROM alembic_version"):
            conn.exec_driver_sql(statement)
        for index in metadata.tables["run"].indexes:
            index.drop(conn)

    store.transaction(half)
    store.upgrade()
    assert store.transaction(differences) == []
    assert store.transaction(leader.read) == 0


def test_a_job_of_the_first_form_gets_what_holds_where_nothing_is_said(url: str) -> None:
    store = Store(url)
    with store._engine.connect() as conn, conn.begin():
        command.upgrade(_config(conn), "0001")
    old = sa.table("job", *(sa.column(name, column.type) for name, column in job_rows.c.items()))
    values = {
        "id": 7,
        "type": JobType.COMMAND,
        "name": "old",
        "command": "true",
        "schedule": "* * * * *",
        "timezone": "UTC",
        "concurrency": Concurrency.FORBID,
        "effective_from": NOW,
        "rev": 1,
        "published_rev": 1,
        "unpublished": False,
        "status": JobStatus.SCHEDULED,
        "created_by": "ann",
        "created_at": NOW,
        "updated_at": NOW,
    }
    with store._engine.connect() as conn, conn.begin():
        conn.execute(sa.insert(old).values(values))
    assert store.upgrade() == ("0001", NEWEST)
    job = store.transaction(lambda conn: jobs.get(conn, 7))
    assert (job.enabled, job.args, job.env, job.grace, job.catch_up) == (True, (), {}, 10, CatchUp.LATEST)
    assert store.transaction(differences) == []
    store.close()
