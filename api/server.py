"""What serves the API of an embedded install: waitress. For a cluster see `gunicorn_server`."""

import logging
import socket
import threading
from typing import Any

from flask import Flask

from .artifacts import MAX_BYTES

STOP_TIMEOUT = 5.0
LOOP_TIMEOUT = 1.0
"""Seconds after which waitress looks for connections that are idle for too long."""
MAX_BODY_BYTES = MAX_BYTES + 1
"""Where waitress gives up, which keeps bodies in temporary files; the application has limits of its own."""
RECEIVE_BYTES = 64 * 1024
"""What waitress takes from a connection at once: with its own 8 KiB, large bodies take twice as long."""


class Embedded:
    """A running server of waitress; `links` are its sockets by file descriptor."""

    def __init__(self, server: Any, links: dict[int, Any]) -> None:
        self.port: int = server.socket.getsockname()[1]
        self._server = server
        self._links = links
        self._stopped = threading.Event()
        self._open = threading.Lock()
        """Held while one thread wakes the other by a file descriptor that the other one closes."""
        self._thread = threading.Thread(target=self._loop, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the requests in progress end, for some seconds at most, and free the port."""
        self._server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT)
        with self._open:
            self._stopped.set()
            self._server.pull_trigger()
        self._thread.join(STOP_TIMEOUT)

    def _loop(self) -> None:
        from waitress import wasyncore

        while not self._stopped.is_set():
            wasyncore.loop(timeout=LOOP_TIMEOUT, use_poll=True, map=self._links, count=1)
        with self._open:
            wasyncore.close_all(self._links)


def serve_embedded(app: Flask, listener: socket.socket, threads: int = 8) -> Embedded:
    """Serve the app on threads of this process, on a socket that listens already (see `listen`)."""
    import waitress

    # It says so of every request that has to wait, in a burst.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    links: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=links,
        sockets=[listener],
        threads=threads,
        ident=None,
        max_request_body_size=MAX_BODY_BYTES,
        recv_bytes=RECEIVE_BYTES,
        clear_untrusted_proxy_headers=True,
    )
    return Embedded(server, links)
