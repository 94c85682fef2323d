"""The store: transactions on the database, and the errors that a caller must reckon with."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cronkeeper.common.errors import Conflict, Unavailable

from . import form, leader
from .engine import WRITE_AT_ONCE, make_engine, url_for_people
from .faults import Fault, fault_of, translated

T = TypeVar("T")

ATTEMPTS = 6
"""How often a transaction is tried that loses against others."""
PAUSE = 0.02
"""Seconds: about how much longer each pause between two attempts is than the one before."""


class Store:
    """One database. Any number of threads may use it; connections are opened when they are needed."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        one_at_a_time = self._engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[Any] = threading.Lock() if one_at_a_time else nullcontext()
        """Held by the thread that writes: SQLite itself would have it ask again and again, with pauses."""
        self._fits = False
        """The tables are known to be in a form that this version can work with."""
        self.url_for_people = url_for_people(url)
        """The URL without its password."""

    def transaction(self, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        """Run `work` in one transaction and return what it returns, once that is committed durably.

        `writes` says that it is sure to write, and is only about time: it waits for its turn before it begins.

        Where `work` raises, nothing is done. It is run again where it lost against another transaction, so
        it must have no effects but those on the connection.

        Raises:
            Unavailable: the database does not answer, or always prefers others. Where the answer to the
                commit is what was lost, the work is done; so read back what matters. Or the tables are in a form
                that this version can't work with.
        """
        if not self._fits and (refusal := self._refusal()) is not None:
            raise Unavailable(refusal)
        return self._tried(work, writes=writes)

    def _tried(self, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        with translated(self.url_for_people):
            for attempt in range(1, ATTEMPTS):
                try:
                    return self._once(work, write_at_once=writes or attempt > 1)
                except DBAPIError as error:
                    if fault_of(error) is not Fault.RETRY:
                        raise
                time.sleep(random.uniform(0.5, 1.5) * PAUSE * (attempt - 1))
            return self._once(work, write_at_once=True)

    def _once(self, work: Callable[[Connection], T], *, write_at_once: bool) -> T:
        # In SQLite a transaction that reads first can't write any more once another one has: that is
        # found out at its first write, and the second attempt takes the write lock before it reads.
        options = {WRITE_AT_ONCE: write_at_once}
        with (
            self._turn if write_at_once else nullcontext(),
            self._engine.connect().execution_options(**options) as conn,
            conn.begin(),
        ):
            return work(conn)

    def check(self) -> None:
        """Raise `Unavailable` where the database does not answer, or its tables can't be worked with."""
        # A table, since a Galera node outside the quorum still answers questions without one.
        self.transaction(leader.read)

    def require_form(self) -> None:
        """See that this version can work with the tables as they are, for a daemon that starts.

        Raises:
            Conflict: they have to be upgraded first, or were upgraded too far.
            Unavailable: the database does not answer; then the first transaction that comes through looks.
        """
        if (refusal := self._refusal()) is not None:
            raise Conflict(refusal)

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the tables to the form that this version works with; returns the one before (None: none) and now.

        Those of a later version are left alone where they serve this one too.

        Raises:
            Conflict: a later version has changed them further than this one can follow.
        """
        before = self._form()
        if form.lacks(before) is not None or form.outgrown(before) is not None:
            from .upgrade import upgrade

            with translated(self.url_for_people):
                upgrade(self._engine)
        now = self._form().version
        assert now is not None
        return before.version, now

    def _refusal(self) -> str | None:
        found = self._form()
        refusal = form.lacks(found) or form.outgrown(found)
        self._fits = refusal is None
        return None if refusal is None else f"the database {self.url_for_people} can't be used: {refusal}"

    def _form(self) -> form.Form:
        try:
            return self._tried(form.read)
        except DBAPIError:
            return form.NO_TABLES

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()
