"""What serves the API: waitress in the embedded install, gunicorn in a cluster."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flask import Flask

STOP_TIMEOUT = 5.0
MAX_BODY_BYTES = 40 * 1024 * 1024
"""A backstop: the application has smaller limits of its own, and says what they are."""


class Embedded:
    """A running server."""

    def __init__(self, server: Any, name: str) -> None:
        self.port: int = server.socket.getsockname()[1]
        self._server = server
        self._thread = threading.Thread(target=server.run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the requests in progress end, for some seconds at most, and free the port."""
        from waitress import wasyncore

        self._server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT)
        sockets = self._server._map  # empty, it ends the thread's loop
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        self._thread.join(STOP_TIMEOUT)


def serve_embedded(app: Flask, listener: socket.socket, threads: int = 8) -> Embedded:
    """Serve the app on threads of this process, on a socket that listens already (see `listen`)."""
    import waitress

    # It says so of every request that has to wait, in a burst.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = waitress.create_server(
        app,
        sockets=[listener],
        threads=threads,
        ident=None,
        max_request_body_size=MAX_BODY_BYTES,
        clear_untrusted_proxy_headers=True,
    )
    return Embedded(server, "http")


class Runnable(Protocol):
    """Something that serves until it is told to stop."""

    def run(self) -> None: ...


def gunicorn_app(
    factory: Callable[[], Flask],
    bind: Sequence[str],
    workers: int,
    threads: int,
    graceful_timeout: int = 30,
) -> Runnable:
    """gunicorn with `workers` processes of `threads` threads; each process calls the factory after its fork.

    Once it is told to stop, requests in progress have `graceful_timeout` seconds to end.
    """
    from gunicorn.app.base import BaseApplication

    settings = {
        "bind": list(bind),
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "graceful_timeout": graceful_timeout,
        # A socket in the home folder for a command that we do not use; older versions have no such thing.
        "control_socket_disable": True,
    }

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for key, value in settings.items():
                if key in self.cfg.settings:
                    self.cfg.set(key, value)

        def load(self) -> Flask:
            return factory()

    server: Runnable = Server()
    return server
