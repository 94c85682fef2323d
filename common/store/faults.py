"""What the drivers' errors mean: the one place that knows their numbers."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cronkeeper.common.errors import Unavailable


class Fault(StrEnum):
    """What to do about an error of the database."""

    RETRY = "retry"
    """The transaction lost against another one and was rolled back: the same work may pass now."""
    UNAVAILABLE = "unavailable"
    """The database, or the way to it, does not work. What was asked may have been done."""
    BUG = "bug"
    """A statement or a value that the database rightly refuses."""


# 1205: waited too long for a lock; 1213: deadlock, and in Galera a commit that lost against another node's.
_RETRIED_MYSQL = frozenset({1205, 1213})
_RETRIED_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BUGS = (sa.exc.ProgrammingError, sa.exc.IntegrityError, sa.exc.DataError, sa.exc.NotSupportedError)


def fault_of(error: DBAPIError) -> Fault:
    """What an error means that SQLAlchemy passed on from a driver."""
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return _fault_of_sqlite(error, sqlite_code & 0xFF)  # the low byte is the kind, the rest says more
    if error.connection_invalidated:
        return Fault.UNAVAILABLE
    if getattr(error.orig, "errno", None) in _RETRIED_MYSQL:
        return Fault.RETRY
    # Without a statement it failed in connecting or committing: a wrong password is the operator's to mend.
    if error.statement is not None and isinstance(error, _BUGS):
        return Fault.BUG
    return Fault.UNAVAILABLE


def _fault_of_sqlite(error: DBAPIError, kind: int) -> Fault:
    if kind in _RETRIED_SQLITE:
        return Fault.RETRY
    if kind == sqlite3.SQLITE_ERROR or isinstance(error, _BUGS):
        return Fault.BUG
    return Fault.UNAVAILABLE


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the database's errors that are no bugs of ours into `Unavailable`; `where` names it for people."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise Unavailable(f"the database {where} is too busy: no connection became free") from error
    except DBAPIError as error:
        if fault_of(error) is Fault.BUG:
            raise
        said = " ".join(str(error.orig).split())  # some come in several lines
        raise Unavailable(f"the database {where} does not work: {said}") from error
