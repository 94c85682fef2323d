"""Two versions on one database, as in a rolling upgrade: who goes on working, and who is refused and how."""

from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import Connection
from support.samples import NOW, new_job, report

from cronkeeper.cli.main import main
from cronkeeper.common.errors import Conflict, Unavailable
from cronkeeper.common.model import Node, RunState
from cronkeeper.common.store import audit, form, jobs, leader, nodes, runs
from cronkeeper.common.store.migrations import NEWEST
from cronkeeper.common.store.store import Store
from cronkeeper.common.store.upgrade import _config

OURS = {"schema_info", "alembic_version"}


def bring_to(store: Store, version: str) -> None:
    with store._engine.connect() as conn, conn.begin():
        command.upgrade(_config(conn), version)


def served() -> Iterator[str]:
    """The versions before the newest whose code can still work with the newest tables, by their own word."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as conn:
        scripts = ScriptDirectory.from_config(_config(conn))
        oldest = scripts.get_revision("head").module.oldest
        yield from sorted(s.revision for s in scripts.walk_revisions() if oldest <= s.revision < NEWEST)
    engine.dispose()


def some_value(column: sa.Column[object], turn: int) -> object:
    kind = column.type.python_type
    return NOW.replace(tzinfo=None) if kind is datetime else kind(turn) if kind is not bytes else b"x"


def expand(conn: Connection) -> None:
    """What a later step may do: each table gets a column that may be empty, and one that has a default."""
    for table in sa.inspect(conn).get_table_names():
        if table not in OURS:
            conn.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN later TEXT")
            conn.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN later_number INTEGER NOT NULL DEFAULT 7")
    conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9001'")
    conn.execute(sa.text("UPDATE schema_info SET oldest = :oldest"), {"oldest": NEWEST})


def contract(conn: Connection) -> None:
    conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9001'")
    conn.exec_driver_sql("UPDATE schema_info SET oldest = '9000'")


@pytest.mark.parametrize("version", list(served()))
def test_what_an_older_version_that_is_still_served_writes_and_reads_works(url: str, version: str) -> None:
    """Its statements name the columns that there were then, and no other."""
    store = Store(url)
    bring_to(store, version)
    before = sa.MetaData()
    with store._engine.connect() as conn:
        before.reflect(conn)
    store.upgrade()
    for table in (each for name, each in before.tables.items() if name not in OURS):

        def work(conn: Connection, table: sa.Table = table) -> None:
            conn.execute(sa.delete(table))
            first, second = ({c.name: some_value(c, turn) for c in table.c} for turn in (1, 2))
            conn.execute(sa.insert(table), first)
            assert conn.execute(sa.select(table)).one()._asdict() == first
            conn.execute(sa.update(table).values(second))
            assert conn.execute(sa.select(table)).one()._asdict() == second

        store.transaction(work)
    store.close()


def test_the_oldest_version_that_is_served_is_told_in_the_tables(store: Store) -> None:
    found = store.transaction(form.read)
    assert found == form.Form(NEWEST, min([*served(), NEWEST]))


def test_this_version_works_on_tables_to_which_a_later_one_has_added(store: Store) -> None:
    store.transaction(expand)
    later = Store(store._engine.url.render_as_string(hide_password=False))
    later.require_form()
    assert later.upgrade() == ("9001", "9001")

    def work(conn: Connection) -> None:
        job = jobs.insert(conn, new_job(), "ann", NOW)
        assert jobs.get(conn, job.id) == job
        runs.record(conn, report(RunState.RUNNING, job_id=job.id), NOW)
        node = Node(name="alpha", public_key="key", added_at=NOW)
        nodes.add(conn, node)
        assert nodes.get(conn, "alpha") == node
        audit.add(
            conn, actor="ann", action="job.create", job_id=job.id, detail="x", now=NOW, request_id="r-1"
        )
        assert audit.listing(conn)[0].request_id == "r-1"
        leader.take(conn, 0, 1, "one")
        leader.fence(conn, 1)

    later.transaction(work)
    later.close()


def test_tables_of_an_older_form_are_refused_until_they_are_upgraded(url: str) -> None:
    store = Store(url)
    bring_to(store, "0003")
    needs = (
        f"at schema version 0003, and this version of cronkeeper needs {NEWEST}: run `cronkeeper db upgrade`"
    )
    with pytest.raises(Conflict, match=needs):
        store.require_form()
    with pytest.raises(Unavailable, match=needs):
        store.transaction(leader.read)
    assert store.upgrade() == ("0003", NEWEST)
    assert store.transaction(leader.read) == 0
    store.close()


def test_tables_of_a_later_form_that_serves_us_no_more_are_refused_and_left_alone(store: Store) -> None:
    store.transaction(contract)
    later = Store(store._engine.url.render_as_string(hide_password=False))
    needs = (
        f"at schema version 9001, which serves versions from 9000 on, .* knows none beyond {NEWEST}: install"
    )
    for refused in (later.require_form, later.upgrade):
        with pytest.raises(Conflict, match=needs):
            refused()
    with pytest.raises(Unavailable, match=needs):
        later.check()
    assert store.transaction(form.read) == form.Form("9001", "9000")
    later.close()


def test_a_daemon_that_finds_older_tables_ends_with_78_and_says_what_to_do(url: str) -> None:
    environment = {
        "CRONKEEPER_SQL_URL": url,
        "CRONKEEPER_API_ADMIN_TOKEN": "an-admin-token-long-enough",
        "CRONKEEPER_API_USER_TOKEN": "a-user-token-long-enough",
    }
    for daemon in ("api", "manager"):
        done = CliRunner().invoke(main, [daemon], env=environment)
        assert done.exit_code == 78
        assert "lacks cronkeeper's tables: run `cronkeeper db upgrade` first" in done.output


def test_an_upgrade_says_what_it_did(url: str) -> None:
    def said() -> str:
        done = CliRunner().invoke(main, ["db", "upgrade"], env={"CRONKEEPER_SQL_URL": url})
        assert done.exit_code == 0
        return done.output

    assert said() == f"the tables are made, at schema version {NEWEST}\n"
    assert (
        said() == f"the tables are at schema version {NEWEST}, which serves this version: nothing was done\n"
    )
    store = Store(url)
    store.transaction(lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'"))
    store.close()
    assert said() == f"the tables are upgraded from schema version 0003 to {NEWEST}\n"
