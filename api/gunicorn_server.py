"""gunicorn that ends in good order: it says so first, then takes in no more, and then ends what it has.

Nothing is lost on the way where a load balancer asks for /health: it has sent nothing new for a while when the
sockets close, and none of them is left with connections that nobody takes.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from cronkeeper.common.errors import Invalid

from .gunicorn_worker import Worker
from .leaving import Leaving

log = logging.getLogger(__name__)

READERS_PATIENCE = 300.0
"""Seconds after which whoever takes in nothing of an answer is given up: a large output may be read in a pager."""
KEEPALIVE = 75
"""Seconds that an idle connection stays open: longer than proxies keep theirs, so that they are the ones to close
it, and never send a request into one that is just being closed here."""
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
"""By the rules of WSGI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What gunicorn serves, and how. Times in seconds."""

    factory: Callable[[Leaving], Flask]
    """Called in each process, after its fork."""
    bind: Sequence[str]
    workers: int
    threads: int
    drain_delay: float
    """How long all is served as ever, but /health, once it was told to end."""
    graceful_timeout: int = 30
    """How long requests in progress have after that."""
    patience: float = 30.0
    """When a body that pauses is given up: it occupies a thread, and its sender may have died."""


class Server(BaseApplication):  # type: ignore[misc]
    """One gunicorn. SIGTERM ends it, SIGHUP has it read again what it is to serve."""

    def __init__(self, read: Callable[[], Serving]) -> None:
        """`read` is called now, and at each SIGHUP. Raises: what `read` raises."""
        self._read = read
        self.serving = read()
        self.leaving = Leaving()
        super().__init__()

    def load_config(self) -> None:
        """As gunicorn asks for it, at the beginning and at each SIGHUP."""
        serving = self.serving
        settings = {
            "bind": list(serving.bind),
            "workers": serving.workers,
            "threads": serving.threads,
            "worker_class": Worker,
            "graceful_timeout": serving.graceful_timeout,
            "keepalive": KEEPALIVE,
            "logger_class": _Log,
            "sendfile": False,  # it would go around `_OneWrite`
            "pre_request": lambda _, request: request.unreader.sock.settimeout(serving.patience),
            # A socket in the home folder for a command that we do not use; older versions have no such thing.
            "control_socket_disable": True,
        }
        for key, value in settings.items():
            if key in self.cfg.settings:
                self.cfg.set(key, value)

    def read_again(self) -> bool:
        """Whether what is served from now on may be another thing. The addresses stay in any case."""
        try:
            read = self._read()
        except Invalid as error:
            log.error("the configuration stays as it was: %s", error)
            return False
        if list(read.bind) != list(self.serving.bind):
            log.warning("api.bind stays as it was until the next start")
        self.serving = replace(read, bind=self.serving.bind)
        log.info("the configuration was read again")
        return True

    def load(self) -> Application:
        """The application, in a process of its own."""
        return _readers_may_pause(self.serving.factory(self.leaving))

    def run(self) -> None:
        """Serve until it is told to end."""
        _Master(self).run()


class _Log(Logger):  # type: ignore[misc]
    """What gunicorn says stands in our own log, in its form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Master(Arbiter):  # type: ignore[misc]
    """Says that it leaves before it does, and exchanges its processes only where there is something new."""

    def handle_term(self) -> None:
        self.app.leaving.server()
        time.sleep(self.app.serving.drain_delay)
        super().handle_term()

    def handle_hup(self) -> None:
        if self.app.read_again():
            super().handle_hup()


def _readers_may_pause(app: Flask) -> Application:
    def served(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = app(environ, start_response)
        # The body has been read by now; what gunicorn gave it time for also counts for what it writes.
        environ["gunicorn.socket"].settimeout(READERS_PATIENCE)
        return answer

    return served
