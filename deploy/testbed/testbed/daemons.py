"""cronkeeper's own daemons: API and managers in rooms, workers on hosts."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from .haproxy import API_PORT
from .hosts import Host, child_of
from .netns import in_namespace
from .network import Room, end
from .processes import children
from .server import Server, dying_with_us
from .services import PROBE

CRONKEEPER = (sys.executable, "-m", "cronkeeper.cli.main")


class Daemon(Server):
    """A daemon in a room."""

    stop_timeout = 5.0

    def __init__(self, home: Path, room: Room, words: Sequence[str], variables: Mapping[str, str]) -> None:
        """`words` come after `cronkeeper`; `variables` are added to our environment at each start."""
        super().__init__(home, room.ip, API_PORT, room.prefix)
        self._room = room
        self._words = list(words)
        self.variables = dict(variables)

    def prepare(self) -> None:
        return

    def command(self) -> list[str]:
        return [*dying_with_us(), *CRONKEEPER, *self._words]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def probe(self) -> list[str]:
        return ["true"]


# Waits until whoever holds the other end of its input ends.
WATCH = 'read _; kill -s KILL -- "-$1"'


class Api(Daemon):
    """The API at its own address and, where nothing stands before it, on this machine's loopback."""

    stop_timeout = 45.0
    """As in its systemd unit: it leaves, and ends what it has."""
    entrance: int | None = None
    """The port on the loopback."""
    _watch: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        self._launch()
        # Its processes see that the first one has gone with us, but not while they are stopped.
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, "sh", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def kill(self) -> None:
        if self._watch is not None:
            end(self._watch)
            self._watch = None
        super().kill()

    def _launch(self) -> None:
        if self.entrance is None:
            super().launch()
            return
        # Opened anew for each start, so that nobody is let in while it is down.
        with ExitStack() as listeners:
            entrance = listeners.enter_context(socket.create_server(("127.0.0.1", self.entrance)))
            with in_namespace(self._room.namespace):
                own = listeners.enter_context(socket.create_server((self.host, self.port)))
            self.inherited = (entrance.fileno(), own.fileno())
            super().launch()

    def environment(self) -> dict[str, str]:
        inherited = [f"fd://{number}" for number in self.inherited]
        binds = inherited if inherited else [f"{self.host}:{self.port}"]
        # TMPDIR: one that is killed can't take its figures away with it.
        own = {"CRONKEEPER_API_BIND": ",".join(binds), "TMPDIR": str(self.home)}
        return {**super().environment(), **own}

    def probe(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(PROBE), "http", self.host, str(self.port)]


class Worker:
    """The worker of a host, under its guard."""

    stop_timeout = 30.0
    """As in its systemd unit."""

    def __init__(self, host: Host, config: Path, variables: Mapping[str, str]) -> None:
        """`variables` are its whole environment at each start."""
        self.host = host
        self._config = config
        self.variables = dict(variables)
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guard, which starts the daemon."""
        with (self.host.home / "worker.log").open("ab") as log:
            self._outer = self.host.exec(
                [*CRONKEEPER, "worker", "--config", self._config],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def guard_pid(self) -> int:
        """The guard, as the machine numbers it."""
        assert self._outer is not None
        return child_of(self._outer.pid)

    @property
    def daemon_pid(self) -> int:
        """The daemon, as the machine numbers it."""
        return child_of(self.guard_pid)

    def pids(self) -> list[int]:
        """The guard, the daemon, and the command that runs them on the host; none where they are down."""
        if self._outer is None or self._outer.poll() is not None:
            return []
        guard = children(self._outer.pid)
        return [*guard, *(daemon for pid in guard for daemon in children(pid)), self._outer.pid]

    def stop(self) -> None:
        """End the guard and the daemon in good order, as `systemctl stop` does; what they have started goes on."""
        if self._outer is not None and self._outer.poll() is None:
            os.kill(self.guard_pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._outer.wait(self.stop_timeout)
        self.kill()

    def kill(self) -> None:
        """kill -9 the guard, with which the daemon goes."""
        if self._outer is not None and self._outer.poll() is None:
            os.kill(self.guard_pid, signal.SIGKILL)
        self.bury()

    def bury(self) -> None:
        """Take note that it is gone, with its host or by itself."""
        if self._outer is not None:
            end(self._outer)
            self._outer = None
