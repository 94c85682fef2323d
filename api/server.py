"""What serves the API: waitress in the embedded install, gunicorn in a cluster."""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from flask import Flask

from .artifacts import MAX_BYTES

STOP_TIMEOUT = 5.0
LOOP_TIMEOUT = 1.0
"""Seconds after which waitress looks for connections that are idle for too long."""
MAX_BODY_BYTES = MAX_BYTES + 1
"""Where waitress gives up, which keeps bodies in temporary files; the application has limits of its own."""
RECEIVE_BYTES = 64 * 1024
"""What waitress takes from a connection at once: with its own 8 KiB, large bodies take twice as long."""

READERS_PATIENCE = 300.0
"""Seconds after which whoever takes in nothing of an answer is given up: a large output may be read in a pager."""


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


Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
"""By the rules of WSGI."""


class Runnable(Protocol):
    """Something that serves until it is told to stop."""

    def run(self) -> None: ...


def gunicorn_app(
    factory: Callable[[], Flask],
    bind: Sequence[str],
    workers: int,
    threads: int,
    graceful_timeout: int = 30,
    patience: float = 30.0,
) -> Runnable:
    """gunicorn with `workers` processes of `threads` threads; each process calls the factory after its fork.

    Once it is told to stop, requests in progress have `graceful_timeout` seconds to end. A body that pauses for
    `patience` seconds is given up, since it occupies a thread, and its sender may have died. Whoever reads an
    answer has longer: see `READERS_PATIENCE`.
    """
    from gunicorn.app.base import BaseApplication

    settings = {
        "bind": list(bind),
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "graceful_timeout": graceful_timeout,
        "pre_request": lambda _, request: request.unreader.sock.settimeout(patience),
        # A socket in the home folder for a command that we do not use; older versions have no such thing.
        "control_socket_disable": True,
    }

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for key, value in settings.items():
                if key in self.cfg.settings:
                    self.cfg.set(key, value)

        def load(self) -> Application:
            return _readers_may_pause(factory())

    server: Runnable = Server()
    return server


def _readers_may_pause(app: Flask) -> Application:
    def served(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = app(environ, start_response)
        # The body has been read by now; what gunicorn gave it time for also counts for what it writes.
        environ["gunicorn.socket"].settimeout(READERS_PATIENCE)
        return answer

    return served
