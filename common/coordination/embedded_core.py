"""What the clients of the embedded tree share: nodes, sessions, watches and the file, behind one lock."""

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cronkeeper.common.errors import CronkeeperError, Unavailable

from .checks import check_batch, checked_path
from .embedded_log import TreeLog
from .embedded_nodes import Changes, Nodes, parent
from .tree import Batch, Check, Node, Session, SetData

Notify = Callable[[], None]


class Client(Protocol):
    """What the core wants of a client."""

    session_timeout: float

    def joined(self, session: Session) -> None:
        """Its calls belong to this session from now on; called with the lock held."""

    def replaced(self) -> None:
        """Its session ended and it has another one; called without the lock."""


@dataclass(slots=True)
class _Attached:
    """A session and its connected clients. Dicts stand for sets here, to keep an order."""

    session: Session
    clients: dict[Client, None] = field(default_factory=dict)


class Core:
    """Thread-safe. Every call may raise `Unavailable`: it was closed, or the file can't be written.

    Watches and clients are told by the thread whose call made the change, after it has let go of the lock.
    """

    def __init__(
        self, log_path: Path | None, clock: Callable[[], float], wall: Callable[[], float] = time.time
    ) -> None:
        """Raises: Damaged, Conflict (the file is in use)."""
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._closed = False
        self._sessions: dict[int, _Attached] = {}
        self._abandoned: dict[int, float] = {}
        self._ids = itertools.count(1)
        self._watches: dict[str, dict[tuple[Client, Notify], None]] = {}
        self._log: TreeLog | None = None
        self._nodes = Nodes({}, wall)
        if log_path is not None:
            self._open(log_path)

    def attach(self, client: Client, known: tuple[int, bytes] | None) -> bool:
        """Connect a client to the session it knows or to a new one. Returns whether it is the known one."""
        with self._locked():
            found = self._sessions.get(known[0]) if known is not None else None
            if found is None or known != (found.session.id, found.session.password):
                self._join(client, self._new_session(client.session_timeout))
                return False
            self._join(client, found)
            return True

    def detach(self, client: Client, session_id: int, *, end: bool) -> None:
        """Disconnect a client, and end its session or leave it to its timeout."""
        with self._locked() as due:
            self._forget_watches(client, due)
            found = self._sessions.get(session_id)
            if found is None:
                return
            found.clients.pop(client, None)
            if end:
                self._end(session_id, due)
            elif not found.clients:
                self._abandoned[session_id] = self._clock() + found.session.timeout

    def expire(self, session_id: int) -> None:
        """End a session, if it has not ended yet."""
        with self._locked() as due:
            self._end(session_id, due)

    def get(self, path: str) -> Node:
        """Raises: NoNode."""
        with self._locked():
            return self._nodes.get(checked_path(path))

    def get_many(self, paths: Sequence[str]) -> list[Node | None]:
        """The nodes, all of one moment; None where there is none."""
        with self._locked():
            return [self._nodes.find(checked_path(path)) for path in paths]

    def children(self, path: str) -> list[str]:
        """Raises: NoNode."""
        with self._locked():
            return self._nodes.children(checked_path(path))

    def children_many(self, paths: Sequence[str]) -> list[list[str] | None]:
        """The lists, all of one moment; None where there is no such node."""
        with self._locked():
            found = [(path, self._nodes.find(checked_path(path))) for path in paths]
            return [None if node is None else self._nodes.children(path) for path, node in found]

    def watch(self, path: str, client: Client, notify: Notify) -> None:
        """Leave a watch on the node's list of children. Raises: NoNode."""
        with self._locked():
            self._nodes.get(checked_path(path))
            self._watches.setdefault(path, {})[client, notify] = None

    def commit(self, session_id: int, ops: Batch) -> int:
        """Carry out all or none. Returns what to `settle`. Raises: as Tree.commit."""
        check_batch(ops)
        with self._locked() as due:
            if session_id not in self._sessions:
                raise Unavailable("the session has ended")
            before = self._nodes.apply(ops, session_id)
            position = self._append(before)
            for op in ops:
                if not isinstance(op, SetData | Check):
                    self._fire(op.path, due)
        return position

    def settle(self, position: int | None = None) -> None:
        """Return once all up to the position, or up to now, is on the disk."""
        if self._log is not None:
            self._log.settle(self._log.append({}) if position is None else position)

    def close(self) -> None:
        """Let go of the file. Nobody is told anything."""
        with self._lock:
            self._closed = True
            if self._log is not None:
                self._log.close()

    @contextmanager
    def _locked(self) -> Iterator[list[Notify]]:
        """Hold the lock, and afterwards call what was put into the list meanwhile."""
        due: list[Notify] = []
        try:
            with self._lock:
                if self._closed:
                    raise Unavailable("the embedded tree is closed")
                self._end_abandoned(due)
                yield due
        finally:
            for notify in due:
                notify()

    def _open(self, path: Path) -> None:
        self._log = TreeLog(path)
        try:
            self._nodes = Nodes(self._log.load(), self._wall)
            self._log.compact(self._nodes.persistent())
        except CronkeeperError:
            self._log.close()
            raise

    def _append(self, before: Changes) -> int:
        """Write to the file what a commit changed, or undo it."""
        if self._log is None:
            return 0
        try:
            position = self._log.append(self._nodes.durable_changes(before))
        except Unavailable:
            self._nodes.restore(before)
            raise
        if self._log.overgrown:
            self._log.compact(self._nodes.persistent())
        return position

    def _new_session(self, timeout: float) -> _Attached:
        session = Session(next(self._ids), secrets.token_bytes(16), timeout)
        self._sessions[session.id] = _Attached(session)
        return self._sessions[session.id]

    def _join(self, client: Client, to: _Attached) -> None:
        to.clients[client] = None
        self._abandoned.pop(to.session.id, None)
        client.joined(to.session)

    def _end_abandoned(self, due: list[Notify]) -> None:
        if self._abandoned:
            now = self._clock()
            for session_id in [id_ for id_, deadline in self._abandoned.items() if deadline <= now]:
                self._end(session_id, due)

    def _end(self, session_id: int, due: list[Notify]) -> None:
        """Delete a session's nodes, and give a new session to each client that is connected."""
        self._abandoned.pop(session_id, None)
        ended = self._sessions.pop(session_id, None)
        if ended is None:
            return
        for path in self._nodes.owned(session_id):
            self._nodes.restore({path: None})
            self._fire(path, due)
        for client in ended.clients:
            self._forget_watches(client, due)
            self._join(client, self._new_session(client.session_timeout))
            due.append(client.replaced)

    def _fire(self, path: str, due: list[Notify]) -> None:
        """A node was made or deleted: its parent's watches are due, and its own as in ZooKeeper."""
        for watched in (parent(path), path):
            due.extend(notify for _, notify in self._watches.pop(watched, ()))

    def _forget_watches(self, client: Client, due: list[Notify]) -> None:
        """The state of a client's session changes: all of its watches are due."""
        for path, watches in list(self._watches.items()):
            for watch in [watch for watch in watches if watch[0] is client]:
                del watches[watch]
                due.append(watch[1])
            if not watches:
                del self._watches[path]
