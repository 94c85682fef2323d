"""The tree in ZooKeeper, through kazoo."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.handlers.threading import KazooTimeoutError

from cronkeeper.common.errors import CronkeeperError, Forbidden, Invalid, Unavailable

from .checks import batch_bytes, check_batch, checked_path
from .kazoo_client import SessionClient
from .tree import (
    BadVersion,
    Batch,
    Check,
    Connection,
    Create,
    Delete,
    Node,
    NodeExists,
    NoNode,
    NotEmpty,
    Session,
    SetData,
    Tree,
)

log = logging.getLogger(__name__)

WINDOW = 1000
WINDOW_BYTES = 4 * 1024 * 1024
"""So many requests and bytes of them are on their way at once: more would fill the server's heap."""

_ANSWERS: dict[type[KazooException], tuple[type[CronkeeperError], str]] = {
    NoNodeError: (NoNode, "there is no node {}, or none above it"),
    NodeExistsError: (NodeExists, "there is a node {} already"),
    BadVersionError: (BadVersion, "{} is at another version"),
    NotEmptyError: (NotEmpty, "there are nodes below {}"),
    NoAuthError: (Forbidden, "ZooKeeper does not allow this at {}"),
    NoChildrenForEphemeralsError: (Invalid, "{} can't be made: its parent is ephemeral"),
}


@dataclass(frozen=True, slots=True)
class _Request:
    """Something to ask: `send` returns kazoo's promise of an answer, `size` is in bytes."""

    path: str
    send: Callable[[], Any]
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Watch:
    """Equal for the same `notify`: kazoo keeps watches in a set, so one that is renewed does not pile up."""

    notify: Callable[[], None]

    def __call__(self, event: object) -> None:
        self.notify()


class ZooKeeperTree(Tree):
    """A client that connects in the background, for as long as it takes, and comes back after every loss.

    A call waits at most `call_timeout` seconds (where that is None: the session timeout) for the connection
    and the answer; one that sends more than a window of requests, that long for each window. No write is
    ever repeated here. A write whose call gave up is decided before anything that is asked later.
    """

    def __init__(
        self,
        hosts: str,
        root: str = "/cronkeeper",
        session_timeout: float = 6.0,
        session: tuple[int, bytes] | None = None,
        call_timeout: float | None = None,
    ) -> None:
        """`hosts` is "name:port,name:port"; `root` is made if need be; `session` is id and password."""
        self._hosts = hosts
        self._root = "" if root == "/" else checked_path(root)
        self._call_timeout = session_timeout if call_timeout is None else call_timeout
        self._listeners: list[Callable[[Connection], None]] = []
        self._connected = threading.Event()
        self._session: Session | None = None
        self._has_root = False
        self._closed = False
        self._client = SessionClient(hosts, session_timeout, session)
        self._client.add_listener(self._on_state)
        self._client.start_async()

    def get(self, path: str) -> Node:
        return _node(self._ask(self._get(path)))

    def get_many(self, paths: Sequence[str]) -> list[Node | None]:
        answers = self._ask_many([self._get(path) for path in paths])
        return [None if answer is None else _node(answer) for answer in _found(answers)]

    def children(self, path: str) -> list[str]:
        return sorted(self._ask(self._children(path)))

    def children_many(self, paths: Sequence[str]) -> list[list[str] | None]:
        answers = self._ask_many([self._children(path) for path in paths])
        return [None if answer is None else sorted(answer) for answer in _found(answers)]

    def commit(self, ops: Batch) -> None:
        (error,) = self.commit_many([ops])
        if error is not None:
            raise error

    def commit_many(self, batches: Sequence[Batch]) -> list[Exception | None]:
        refused = [_refusal(batch) for batch in batches]
        accepted = [batch for batch, refusal in zip(batches, refused, strict=True) if refusal is None]
        answers = iter(self._ask_many([self._multi(batch) for batch in accepted]))
        return [
            _first_error(batch, next(answers)) if refusal is None else refusal
            for batch, refusal in zip(batches, refused, strict=True)
        ]

    def sync(self) -> None:
        path = self._full("/")
        self._ask(_Request(path, lambda: self._client.sync_async(path)))

    def watch_children(self, path: str, notify: Callable[[], None]) -> None:
        full = self._full(path)
        self._ask(_Request(path, lambda: self._client.get_children_async(full, watch=_Watch(notify))))

    def session(self) -> Session:
        if self._session is None:
            self._await_connection()
        assert self._session is not None
        return self._session

    def listen(self, notify: Callable[[Connection], None]) -> None:
        self._listeners.append(notify)

    def close(self, *, keep_session: bool = False) -> None:
        """Where ZooKeeper is away, this may take as long as twice the session timeout."""
        if not self._closed:
            self._closed = True
            self._client.end(keep_session=keep_session)

    def _get(self, path: str) -> _Request:
        full = self._full(path)
        return _Request(path, lambda: self._client.get_async(full))

    def _children(self, path: str) -> _Request:
        full = self._full(path)
        return _Request(path, lambda: self._client.get_children_async(full))

    def _multi(self, ops: Batch) -> _Request:
        transaction = self._client.transaction()
        for op in ops:
            path = self._full(op.path)
            match op:
                case Create():
                    transaction.create(path, op.data, ephemeral=op.ephemeral)
                case SetData():
                    transaction.set_data(path, op.data, op.version)
                case Delete():
                    transaction.delete(path, op.version)
                case Check():
                    transaction.check(path, op.version)
        return _Request(ops[0].path if ops else "/", transaction.commit_async, batch_bytes(ops))

    def _full(self, path: str) -> str:
        """The path in ZooKeeper."""
        return self._root + checked_path(path) if path != "/" else self._root or "/"

    def _ask(self, request: _Request) -> Any:
        (answer,) = self._ask_many([request])
        if isinstance(answer, CronkeeperError):
            raise answer
        return answer

    def _ask_many(self, requests: Sequence[_Request]) -> list[Any]:
        """The answer to each, or the error in its place. After one that is lost no more are sent."""
        answers: list[Any] = []
        for window in _windows(requests):
            answers += self._ask_window(window)
            if isinstance(answers[-1], Unavailable):
                break
        unsent = Unavailable("not sent to ZooKeeper, which had stopped to answer")
        return answers + [unsent] * (len(requests) - len(answers))

    def _ask_window(self, requests: Sequence[_Request]) -> list[Any]:
        deadline = time.monotonic() + self._call_timeout
        try:
            self._await_connection()
        except Unavailable as error:
            return [error] * len(requests)
        promises = [request.send() for request in requests]
        return [
            self._answer(promise, request.path, deadline)
            for request, promise in zip(requests, promises, strict=True)
        ]

    def _await_connection(self) -> None:
        """Return when there is a connection, and the root. Raises: Unavailable."""
        deadline = time.monotonic() + self._call_timeout
        if self._closed or not self._connected.wait(self._call_timeout):
            self._client.revive()
            raise Unavailable(f"there is no connection to ZooKeeper at {self._hosts}")
        if self._root and not self._has_root:
            made = self._answer(self._client.ensure_path_async(self._root), self._root, deadline)
            if isinstance(made, CronkeeperError):
                raise Unavailable(f"{self._root} can't be made in ZooKeeper at {self._hosts}: {made}")
            self._has_root = True

    def _answer(self, promise: Any, path: str, deadline: float) -> Any:
        """The answer, or our error for what came in its place."""
        try:
            return promise.get(timeout=max(0.0, deadline - time.monotonic()))
        except (KazooException, KazooTimeoutError, RuntimeError) as error:
            return _translated(error, path)

    def _on_state(self, state: str) -> None:
        """Called by kazoo's connection thread."""
        connection = Connection(state.lower())
        if connection is Connection.CONNECTED:
            id_, password = self._client.client_id
            self._session = Session(id_, password, self._client.negotiated_timeout)
            self._connected.set()
        else:
            self._connected.clear()
            self._has_root = False
        log.info("the connection to ZooKeeper at %s is %s", self._hosts, connection)
        for notify in list(self._listeners):
            notify(connection)


def _windows(requests: Iterable[_Request]) -> Iterator[list[_Request]]:
    """As many at a time as may be on their way at once; one that is larger than all of that goes alone."""
    window: list[_Request] = []
    size = 0
    for request in requests:
        if window and (len(window) == WINDOW or size + request.size > WINDOW_BYTES):
            yield window
            window, size = [], 0
        window.append(request)
        size += request.size
    if window:
        yield window


def _found(answers: Iterable[Any]) -> Iterator[Any]:
    """The answers, None for a node that does not exist. Raises: any other error among them."""
    for answer in answers:
        if isinstance(answer, CronkeeperError) and not isinstance(answer, NoNode):
            raise answer
        yield None if isinstance(answer, NoNode) else answer


def _node(answer: Any) -> Node:
    data, stat = answer
    return Node(data, stat.version, stat.ephemeralOwner, stat.mtime / 1000)


def _refusal(batch: Batch) -> Invalid | None:
    try:
        check_batch(batch)
    except Invalid as error:
        return error
    return None


def _first_error(ops: Batch, answer: Any) -> CronkeeperError | None:
    """Why a multi failed. All of its other operations say only that they were not carried out."""
    if isinstance(answer, CronkeeperError):
        return answer
    failed = [
        (op, result) for op, result in zip(ops, answer, strict=False) if isinstance(result, KazooException)
    ]
    for op, result in failed:
        if not isinstance(result, RolledBackError | RuntimeInconsistency):
            return _translated(result, op.path)
    return Unavailable(f"ZooKeeper gave no reason for a failure: {failed}") if failed else None


def _translated(error: Exception, path: str) -> CronkeeperError:
    for theirs, (ours, text) in _ANSWERS.items():
        if isinstance(error, theirs):
            return ours(text.format(path))
    return Unavailable(f"ZooKeeper did not answer ({path}): {error!r}")
