"""One server process that dies with the process that started it."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .processes import in_group

START_TIMEOUT = 60.0
# Below the range that the kernel takes the ports of outgoing connections from, so that nobody else gets the
# port of a server that is down, least of all a client that tries to reach it.
PORTS = range(15000, 32000)
_given: set[int] = set()


class MissingProgram(RuntimeError):
    """A program that the test-bed needs is not installed."""


def free_port(host: str = "127.0.0.1", beside: int = 0) -> int:
    """A TCP port on which nothing listens. None is given twice: a server may not listen on its ports yet.

    The port that is so many `beside` above it is given with it.
    """
    while True:
        port = random.choice(PORTS[: len(PORTS) - beside])
        both = {port, port + beside}
        if not both & _given and all(_is_free(host, each) for each in both):
            _given.update(both)
            return port


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def program(name: str) -> str:
    """The path of a program: the one beside this Python, else the one in PATH or in the system's folders."""
    beside = Path(sys.executable).parent / name
    found = (
        str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    )
    if found is None:
        raise MissingProgram(f"{name} is not installed: run make deps")
    return found


def dying_with_us(*options: str) -> list[str]:
    """What to put before a command so that the kernel kills it when the thread that starts it ends.

    `options` are more options of setpriv.
    """
    return [program("setpriv"), *options, "--pdeathsig", "KILL", "--"]


class Server(ABC):
    """A server in the foreground, with its data and its log under `home`.

    `prefix` is put before every command, such as `("ip", "netns", "exec", "hub")`. A server lives no longer
    than the thread that started it: start servers from the main thread.
    """

    stop_timeout = 20.0
    """Seconds in which it may end in good order."""
    peers: Sequence[str] = ()
    """The addresses of the servers that it forms a group with, its own among them; none where it is alone."""
    inherited: tuple[int, ...] = ()
    """Open files that the server gets from us."""

    def __init__(
        self, home: Path, host: str = "127.0.0.1", port: int | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.home = home
        self.host = host
        self.port = free_port() if port is None else port
        self.prefix = list(prefix)
        self.log_path = home / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs under `home`; called before every start."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs in the foreground, by way of `dying_with_us`."""

    @abstractmethod
    def probe(self) -> list[str]:
        """A command that ends with 0 once the server does real work."""

    def environment(self) -> dict[str, str] | None:
        """The environment of the server and of its probe; None for our own."""
        return None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process.pid

    def pids(self) -> list[int]:
        """The server's process and those that it has started; none where it is down."""
        if self._process is None or self._process.poll() is not None:
            return []
        return in_group(self._process.pid)

    def start(self) -> None:
        """Start the server and return when it does real work."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the server; several that need each other are all launched before one is waited for."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *self.command()],
                cwd=self.home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.inherited,
            )

    def await_ready(self) -> None:
        """Return when the server that was launched does real work."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        try:
            self._await_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server in good order; kill it where that takes too long."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.stop_timeout)
        self.kill()

    def kill(self) -> None:
        """kill -9 it and what it has started, and wait until it is gone."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop it if it runs, and start it again with the same data on the same port."""
        self.stop()
        self.start()

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._probe_once(process, deadline):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_path.read_bytes()[-2000:].decode(errors="replace")
                raise RuntimeError(f"{type(self).__name__} did not become ready; the end of its log:\n{tail}")
            time.sleep(0.05)

    def _probe_once(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Run the probe to its end, or until the server has died or the time is over."""
        probe = subprocess.Popen(
            [*self.prefix, *dying_with_us(), *self.probe()],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while probe.poll() is None and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            return probe.poll() == 0
        finally:
            probe.kill()
            probe.wait()
