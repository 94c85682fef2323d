"""kazoo's client with what it lacks. The only place that reaches into kazoo's insides (kazoo 2.10 and 2.11).

- The negotiated session timeout, which kazoo reads and forgets.
- Leaving a session without ending it, which its `stop` can't.
- A connection thread that died of an unforeseen answer is started again.
- A ZooKeeper that was put back to an earlier day, or is empty, turns away for ever who has seen a later one.
- Connecting to a host that is switched off would take the whole session timeout, and the session with it.
- Each request wakes the connection thread by a byte in a socket pair, which holds 278 of them and is not
  read while there is no connection: the 279th request would block for as long as that lasts. An eventfd
  holds as many as there are.
"""

import logging
import os
import socket
import time
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionDropped, WriterNotClosedException
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol import connection as protocol
from kazoo.protocol.serialization import Connect

log = logging.getLogger(__name__)

RETRY = {"max_tries": -1, "delay": 0.1, "max_delay": 0.7, "max_jitter": 0.4}
"""For ever, and never more than a second apart."""


class SessionClient(KazooClient):  # type: ignore[misc]
    """kazoo's client for one session after the other; times in seconds."""

    def __init__(self, hosts: str, session_timeout: float, session: tuple[int, bytes] | None) -> None:
        kazoo_log = logging.getLogger("kazoo")
        kazoo_log.setLevel(logging.ERROR)  # it warns at every attempt to connect
        super().__init__(
            hosts=hosts,
            timeout=session_timeout,
            client_id=session,
            handler=_Handler(session_timeout, hosts.count(",") + 1),
            connection_retry=RETRY,
            logger=kazoo_log,
        )
        self._connection = _Connection(self, self._conn_retry.copy(), logger=kazoo_log)

    @property
    def negotiated_timeout(self) -> float:
        """The timeout of the session that was connected last."""
        return float(self._connection.negotiated)

    def revive(self) -> None:
        """Start the connection thread again where it died."""
        if self._connection.connection_stopped.is_set() and not self._stopped.is_set():
            log.error("the connection to ZooKeeper had stopped and is started again")
            self.start_async()

    def end(self, *, keep_session: bool) -> None:
        """Stop for good. Returns within twice the session timeout, or 10 seconds where that is more."""
        try:
            if keep_session:
                self._leave()
            else:
                self.stop()
        except WriterNotClosedException:
            log.warning("the connection to ZooKeeper is left to end by itself")
        else:
            self.close()

    def _leave(self) -> None:
        """As `stop`, but it drops the connection where that sends Close."""
        self._stopped.set()
        self._queue.append((protocol._CONNECTION_DROP, None))
        self._connection._write_sock.send(b"\0")
        self._safe_close()


class _Connection(protocol.ConnectionHandler):  # type: ignore[misc]
    """Remembers the negotiated session timeout, and forgets what no server knows any more."""

    negotiated = 0.0
    _refused_since: float | None = None

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        if not isinstance(request, Connect):
            return super()._invoke(timeout, request, xid)
        try:
            answer = super()._invoke(timeout, request, xid)
        except ConnectionDropped:
            self._note_refusal()
            raise
        self.negotiated = answer[0].time_out / 1000
        self._refused_since = None
        return answer

    def _note_refusal(self) -> None:
        """Servers turn away who has seen a later state than they have, for ever where that is lost.

        They turn people away also while they have no leader. Nobody here goes by what a server says before a sync.
        """
        now = time.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > self.client._session_timeout / 1000 and self.client.last_zxid:
            log.warning("ZooKeeper is there and takes nobody who has seen what it had: that is forgotten")
            self.client.last_zxid = 0


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Bounds the time that connecting to one host takes, and lets no request block."""

    def __init__(self, session_timeout: float, hosts: int) -> None:
        super().__init__()
        self._connect_timeout = session_timeout / 2 / hosts

    def create_connection(self, *args: Any, **options: Any) -> socket.socket:
        options["timeout"] = min(options["timeout"], self._connect_timeout)
        connection: socket.socket = super().create_connection(*args, **options)
        return connection

    def create_socket_pair(self) -> tuple["_Wakeups", "_Wakeups"]:
        wakeups = _Wakeups()
        return wakeups, wakeups


class _Wakeups:
    """Both ends of what kazoo takes for a socket pair; it only ever moves single bytes."""

    def __init__(self) -> None:
        self._file = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._file

    def send(self, _byte: bytes) -> None:
        os.eventfd_write(self._file, 1)

    def recv(self, _size: int) -> bytes:
        os.eventfd_read(self._file)
        return b"\0"

    def close(self) -> None:
        """Called for either end."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
