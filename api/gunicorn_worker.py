"""A process of gunicorn's that lets go in good order, and sends no half answers on the way."""

import logging
import os
import signal
import socket
from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """Takes what has come in when it is told to end, and then closes its sockets at once.

    gunicorn itself leaves them open to its end, with connections in them that it never takes.
    """

    def run(self) -> None:
        super().run()
        logging.shutdown()
        # All is answered, or has had its time. Python would need another second to take itself apart.
        os._exit(0)

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.app.leaving.process(self.cfg.graceful_timeout)
        super().handle_exit(sig, frame)

    def handle_request(self, req: Any, conn: Any) -> bool:
        link, conn.sock = conn.sock, _OneWrite(conn.sock)
        try:
            keep: bool = super().handle_request(req, conn)
            conn.sock.flush()
            return keep
        finally:
            conn.sock = link

    def is_parent_alive(self) -> bool:
        lives: bool = super().is_parent_alive()
        if not lives and self.alive:  # it was killed, and whoever starts it again needs the addresses
            self.handle_exit(signal.SIGTERM, None)
        return lives

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled and self.alive)
        while self.sockets and not self.alive:  # it may have been told to end before it began
            listener = self.sockets.pop()
            self._take_all(listener)
            listener.close()

    def _take_all(self, listener: Any) -> None:
        before = -1
        while self.nr_conns != before:
            before = self.nr_conns
            self.accept(listener)


class _OneWrite:
    """A socket that sends the headers of an answer together with the first of its body.

    Were a process killed between the two, a proxy would be left with a beginning, and could ask nobody else.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._headers: bytes | None = None

    def sendall(self, data: bytes) -> None:
        """As of a socket; what comes first are the headers, which gunicorn sends by themselves."""
        if self._headers is None:
            self._headers = data
        else:
            self._link.sendall(self._headers + data if self._headers else data)
            self._headers = b""

    def flush(self) -> None:
        """The answer is complete: it may have no body."""
        if self._headers:
            self._link.sendall(self._headers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)
