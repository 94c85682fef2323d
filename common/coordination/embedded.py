"""The tree inside the process: for an install without ZooKeeper, and for the simulation."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from cronkeeper.common.clock import boottime
from cronkeeper.common.errors import CronkeeperError, Unavailable

from .embedded_core import Core
from .tree import Batch, Connection, Node, Session, Tree

T = TypeVar("T")


class Faults(Protocol):
    """Stands between a client and the tree, to fail its calls."""

    def __call__(self, call: str, carry_out: Callable[[], T]) -> T:
        """Carry out the call of that name or not, and return its result or raise Unavailable all the same.

        Each batch of a `commit_many` comes by on its own, as "commit".
        """


class EmbeddedServer:
    """What the clients in one process share; thread-safe.

    Persistent nodes are kept in the file at `log_path`, or in memory only where that is None. A call returns
    when what it wrote is on the disk; others may see it a moment before, but what they write because of it
    reaches the disk after it. Ephemeral nodes and sessions end with the process. Watches and listeners are
    called by the thread whose call made the change. `clock` counts the timeout of a session that no client
    is connected to; that it is over is noticed at the next call of any client. `wall` says when a node is
    written; of what was read from the file that is not known.
    """

    def __init__(
        self,
        log_path: Path | None,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Raises: Damaged, Conflict (another process has the file), Unavailable (it can't be written)."""
        self._core = Core(log_path, clock, wall)

    def connect(
        self, session_timeout: float = 6.0, session: tuple[int, bytes] | None = None
    ) -> "EmbeddedTree":
        """A new client, in the session of that id and password or, where it has ended, in a new one."""
        return EmbeddedTree(self._core, session_timeout, session)

    def expire(self, session_id: int) -> None:
        """End a session as if its time had run out."""
        self._core.expire(session_id)

    def close(self) -> None:
        """Let go of the file: from now on every call raises `Unavailable`, as if the server had died."""
        self._core.close()


class EmbeddedTree(Tree):
    """A client in the same process. Its session lasts until it is closed, disconnected or made to expire."""

    def __init__(self, core: Core, session_timeout: float, session: tuple[int, bytes] | None) -> None:
        self.session_timeout = session_timeout
        self.faults: Faults | None = None
        self._core = core
        self._listeners: list[Callable[[Connection], None]] = []
        self._connected = True
        self._session: Session
        core.attach(self, session)

    def get(self, path: str) -> Node:
        return self._call("get", lambda: self._core.get(path))

    def get_many(self, paths: Sequence[str]) -> list[Node | None]:
        return self._call("get_many", lambda: self._core.get_many(paths))

    def children(self, path: str) -> list[str]:
        return self._call("children", lambda: self._core.children(path))

    def children_many(self, paths: Sequence[str]) -> list[list[str] | None]:
        return self._call("children_many", lambda: self._core.children_many(paths))

    def commit(self, ops: Batch) -> None:
        self._call("commit", lambda: self._core.settle(self._commit(ops)))

    def commit_many(self, batches: Sequence[Batch]) -> list[Exception | None]:
        results: list[Exception | None] = []
        for batch in batches:
            try:
                self._call("commit", partial(self._commit, batch))
                results.append(None)
            except CronkeeperError as error:
                results.append(error)
        try:
            self._core.settle()
        except Unavailable as unsettled:
            return [unsettled if result is None else result for result in results]
        return results

    def sync(self) -> None:
        self._call("sync", self._core.settle)

    def watch_children(self, path: str, notify: Callable[[], None]) -> None:
        self._call("watch_children", lambda: self._core.watch(path, self, notify))

    def session(self) -> Session:
        return self._session

    def listen(self, notify: Callable[[Connection], None]) -> None:
        self._listeners.append(notify)

    def close(self, *, keep_session: bool = False) -> None:
        if self._connected:
            self._leave(end=not keep_session)
            self._tell(Connection.LOST)

    def disconnect(self) -> None:
        """Behave as if the link were cut: calls raise `Unavailable`, the session is left to its timeout."""
        self._leave(end=False)
        self._tell(Connection.SUSPENDED)

    def reconnect(self) -> None:
        """Heal the link. As with ZooKeeper, only now a client learns that its session has ended."""
        same = self._core.attach(self, (self._session.id, self._session.password))
        self._connected = True
        if same:
            self._tell(Connection.CONNECTED)
        else:
            self.replaced()

    def joined(self, session: Session) -> None:
        """The core's word that calls belong to this session from now on."""
        self._session = session

    def replaced(self) -> None:
        """The core's word that the session ended and there is a new one."""
        self._tell(Connection.LOST)
        self._tell(Connection.CONNECTED)

    def _commit(self, ops: Batch) -> int:
        return self._core.commit(self._session.id, ops)

    def _call(self, name: str, carry_out: Callable[[], T]) -> T:
        """The one way into the tree."""

        def connected() -> T:
            if not self._connected:
                raise Unavailable("not connected to the embedded tree")
            return carry_out()

        return connected() if self.faults is None else self.faults(name, connected)

    def _leave(self, *, end: bool) -> None:
        self._connected = False
        try:
            self._core.detach(self, self._session.id, end=end)
        except Unavailable:
            return  # the server is closed, and with it went every session

    def _tell(self, state: Connection) -> None:
        for notify in list(self._listeners):
            notify(state)
