"""The way from a second terminal to a running cluster: a unix socket in its home, one line there and one back."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "control"
DOWN = "down"
PATIENCE = 5.0
"""Seconds in which a line must have been said."""
ANSWER_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a cluster says; where it refuses, `ok` is False."""

    ok: bool
    text: str


class Control:
    """The running cluster's end."""

    def __init__(self, home: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        with _short(home) as path:
            self._listener.bind(str(path))
            path.chmod(0o600)  # before it listens, so nobody has come in yet
        self._listener.listen()
        self._last: socket.socket | None = None

    def serve(self, obey: Callable[[str], Answer]) -> None:
        """Answer line by line until one is `down`; whoever says that hears of its success when this process ends.

        To be called by the thread that started the servers: those that `obey` starts die with the same one.
        """
        while self._last is None:
            link, _ = self._listener.accept()
            try:
                link.settimeout(PATIENCE)
                line = link.makefile().readline().strip()
                if line == DOWN:
                    self._last = link
                    continue
                if line:
                    link.sendall(json.dumps(asdict(obey(line))).encode() + b"\n")
            except OSError:  # who asked has gone, or says nothing
                pass
            link.close()


def say(home: Path, line: str) -> Answer | None:
    """Say a line to the cluster that runs in this home, and return its answer; None where none runs.

    Raises:
        TimeoutError: it does not answer.
    """
    link = _connected(home)
    if link is None:
        return None
    with link, link.makefile() as answers:
        link.settimeout(ANSWER_TIMEOUT)
        link.sendall(f"{line}\n".encode())
        said = answers.readline()
    return Answer(**json.loads(said)) if said else Answer(True, "the cluster is gone")


def runs(home: Path) -> bool:
    """Whether a cluster runs in this home, or starts or ends just now."""
    link = _connected(home)
    if link is not None:
        link.close()
    return link is not None


def _connected(home: Path) -> socket.socket | None:
    link = socket.socket(socket.AF_UNIX)
    try:
        with _short(home) as path:
            link.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        link.close()
        return None
    return link


@contextmanager
def _short(home: Path) -> Iterator[Path]:
    """The socket by a path that is short enough: one of more than 107 bytes can't be used."""
    folder = os.open(home, os.O_PATH)
    try:
        yield Path(f"/proc/self/fd/{folder}") / NAME
    finally:
        os.close(folder)
