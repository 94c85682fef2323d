"""Brings a database from any earlier form of the tables to the present one, by alembic.

It works from an installed wheel: the steps in `versions` are found beside this file, in `migrations`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from cronkeeper.common.errors import Conflict, Unavailable

from . import form
from .engine import LOCK_TIMEOUT, WRITE_AT_ONCE
from .migrations import NEWEST
from .schema import schema_info

TURN_TIMEOUT = 60
"""Seconds to wait while another process upgrades the same database."""


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables to the newest form, or leave them in a later one that serves this version too.

    Any number of processes may do so at the same moment.

    Raises:
        Conflict: the tables are in a form that only newer versions of cronkeeper can work with.
        Unavailable: another process has been at it for a minute.
    """
    with engine.connect() as conn:
        alone = _alone_on_sqlite if engine.dialect.name == "sqlite" else _alone_on_mysql
        with alone(conn), conn.begin():
            before = _form(conn)
            if (refusal := form.outgrown(before)) is not None:
                raise Conflict(f"the database is of a later version: {refusal}")
            if before.version is None or before.version < NEWEST:
                _take_all_steps(conn)


def _take_all_steps(conn: sa.Connection) -> None:
    config = _config(conn)
    command.upgrade(config, form.FIRST_TOLD)
    # Before the steps: what they take away must not be missed by an old daemon that starts meanwhile.
    newest = ScriptDirectory.from_config(config).get_revision("head")
    conn.execute(sa.update(schema_info).values(oldest=newest.module.oldest))
    command.upgrade(config, "head")


def _form(conn: sa.Connection) -> form.Form:
    return form.read(conn) if sa.inspect(conn).has_table("alembic_version") else form.NO_TABLES


def _config(conn: sa.Connection) -> Config:
    config = Config(attributes={"connection": conn})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


@contextmanager
def _alone_on_sqlite(conn: sa.Connection) -> Iterator[None]:
    """The write lock is enough, since all steps are one transaction: only the wait for it is made longer."""
    conn.execution_options(**{WRITE_AT_ONCE: True})
    _set_busy_timeout(conn, TURN_TIMEOUT)
    try:
        yield
    finally:
        _set_busy_timeout(conn, LOCK_TIMEOUT)


def _set_busy_timeout(conn: sa.Connection, seconds: int) -> None:
    cursor = conn.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {seconds * 1000}")
    cursor.close()


@contextmanager
def _alone_on_mysql(conn: sa.Connection) -> Iterator[None]:
    """A named lock, which lives until this connection ends: here every DDL commits by itself.

    It holds on one server only. Where two upgrade through two nodes of a Galera cluster, one of them fails.
    """
    conn.connection.dbapi_connection.read_timeout = None  # type: ignore[union-attr]
    name = f"cronkeeper {conn.engine.url.database}"[:64]
    with conn.begin():
        if conn.scalar(sa.select(sa.func.get_lock(name, TURN_TIMEOUT))) != 1:
            raise Unavailable("another process has been upgrading the database for a minute")
    try:
        yield
    finally:
        conn.invalidate()
