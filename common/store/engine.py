"""The pool of connections to SQLite or to MySQL and its kin, set up so that no acknowledged commit is lost.

`Store` alone makes one; the aggregates get a connection in a transaction.
"""

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.pool import QueuePool

from cronkeeper.common.errors import Invalid

CONNECT_TIMEOUT = 4
"""Seconds that a server may take to accept a connection."""
ANSWER_TIMEOUT = 15
"""Seconds that a server may take to answer one statement."""
LOCK_TIMEOUT = 2
"""Seconds that a statement waits for a lock; whole transactions are tried again, see `Store.transaction`."""
WRITE_AT_ONCE = "cronkeeper_write_at_once"
"""The execution option of a connection to SQLite whose transactions take the write lock when they begin."""

_MYSQL = "mysql+mysqlconnector"
_MYSQL_PORT = 3306
# SQLAlchemy does not know all the ways in which mysql-connector says that a link is lost. 3024: no answer
# in time, after which the connection is out of step; 1047: a Galera node outside the quorum; 1927: killed.
_DISCONNECTS = frozenset({1047, 1053, 1927, 2006, 2013, 2014, 2027, 2045, 2048, 2055, 3024, 4031})
# TRADITIONAL is strict, whatever the server's default: nothing is cut short or turned to zero without a word.
_MYSQL_SESSION = f"SET SESSION sql_mode = 'TRADITIONAL', innodb_lock_wait_timeout = {LOCK_TIMEOUT}"
# FULL: in WAL mode NORMAL would lose the last commits at a power cut.
_SQLITE_SESSION = (
    f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
)


def make_engine(url: str) -> sa.Engine:
    """An engine for `sqlite:////path`, `sqlite://` (in memory, one connection) or `mysql://user:password@host/db`.

    Nothing is connected yet.

    Raises:
        Invalid: the URL is of another kind, or none.
    """
    parsed = parse(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _mysql(parsed)


def parse(url: str) -> URL:
    """The URL with our driver in it. Raises: Invalid, without repeating what may hold a password."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is not None and parsed.get_backend_name() in ("mysql", "mariadb"):
        return parsed.set(drivername=_MYSQL, port=_MYSQL_PORT if parsed.port is None else parsed.port)
    if parsed is not None and parsed.drivername == "sqlite":
        return parsed
    raise Invalid("the database's URL must begin with sqlite:// or mysql://user:password@host:port/database")


def url_for_people(url: str) -> str:
    """The URL without password and options."""
    parsed = parse(url)
    shown = URL.create(
        parsed.get_backend_name(), parsed.username, None, parsed.host, parsed.port, parsed.database
    )
    return shown.render_as_string()


def _mysql(url: URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        pool_size=5,
        max_overflow=5,
        pool_timeout=CONNECT_TIMEOUT,
        pool_recycle=1800,
        pool_pre_ping=True,
        # Store has ended every transaction by then: the pool's ROLLBACK would cost a round trip, and where the
        # link has just broken, a traceback in the log about nothing.
        pool_reset_on_return=None,
        connect_args={
            "use_pure": True,  # its C extension does not load everywhere, and then it falls back in silence
            "charset": "utf8mb4",
            "collation": "utf8mb4_general_ci",  # its default is one that MariaDB does not know
            "connection_timeout": CONNECT_TIMEOUT,
            "read_timeout": ANSWER_TIMEOUT,
            "write_timeout": ANSWER_TIMEOUT,
            "init_command": _MYSQL_SESSION,
        },
    )
    event.listen(engine, "handle_error", _mark_disconnect)
    return engine


def _mark_disconnect(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "errno", None) in _DISCONNECTS:
        context.is_disconnect = True


def _sqlite(url: URL) -> sa.Engine:
    in_memory = url.database in (None, "", ":memory:")
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=1 if in_memory else 5,
        max_overflow=0 if in_memory else 5,
        pool_timeout=CONNECT_TIMEOUT,
        pool_reset_on_return=None,  # as below: every transaction has been ended
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late, and none comes before DDL
    for pragma in _SQLITE_SESSION:
        connection.execute(pragma)


def _begin_sqlite(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get(WRITE_AT_ONCE) else "BEGIN")
