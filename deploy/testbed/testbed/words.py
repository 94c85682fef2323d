"""The words of `make cluster DO="…"` that a running cluster obeys, one line each."""

import math
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence

from .parts import Part, Refused
from .picture import picture, table

ON_PARTS: Mapping[str, Callable[[Part], None]] = {
    "kill": Part.kill,
    "stop": Part.stop,
    "cont": Part.cont,
    "start": Part.launch,
    "cut": Part.cut,
    "heal": Part.heal,
}
USAGE = """\
status                  what runs where, and in which state
kill PART...            kill -9; of a host: cut its power
start PART...           start what was killed again
stop PART...            SIGSTOP: it hangs
cont PART...            SIGCONT: it goes on
cut PART...             pull its network cable
heal PART...            plug it in again
skew PART SECONDS       set its clock so many seconds ahead; of a host: its crond's and its worker's
run PART COMMAND...     run a command where the part is: run n1 cat /etc/cron.d/cronkeeper
down                    stop the cluster"""


class Words:
    """What is said to a cluster."""

    def __init__(self, parts: Mapping[str, Part], url: str, home: str) -> None:
        self._parts = parts
        self._reach = (
            f"    export CRONKEEPER_URL={url} CRONKEEPER_TOKEN_FILE={home}/admin.token\n"
            "    .venv/bin/cronkeeper job create --command date --schedule '* * * * *'"
        )
        self._url = url

    def shown(self) -> str:
        """The picture, and what can be done now."""
        words = "\n".join(f"    {line}" for line in USAGE.splitlines())
        return (
            f"{picture(self._parts.values(), self._url)}\n\nTo reach it:\n{self._reach}\n"
            f'What can be said to it from a second terminal, as make cluster DO="...":\n{words}\n'
            "Ctrl-C ends it too."
        )

    def obey(self, line: str) -> str:
        """Do what a line says, and say what was done.

        Raises:
            Refused: it makes no sense, or it failed.
        """
        try:
            word, *rest = shlex.split(line)
        except ValueError as error:
            raise Refused(f"that line can't be read: {error}; known words:\n{USAGE}") from error
        try:
            return self._obey(word, rest)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise Refused(f"{word} failed: {error}") from error

    def _obey(self, word: str, rest: Sequence[str]) -> str:
        if word == "status" and not rest:
            return table(self._parts.values())
        if word == "run" and len(rest) > 1:
            return self._part(rest[0]).run(rest[1:]).rstrip("\n")
        if word == "skew" and len(rest) == 2:
            self._part(rest[0]).skew(_seconds(rest[1]))
            return f"the clock of {rest[0]} is {_seconds(rest[1]):+g} s ahead"
        if word in ON_PARTS and rest:
            return self._do(word, rest)
        raise Refused(f"that is not understood; known words:\n{USAGE}")

    def _do(self, word: str, names: Sequence[str]) -> str:
        parts = [self._part(name) for name in names]
        for part in parts:
            ON_PARTS[word](part)
        if word == "start":
            for part in parts:
                part.process.await_ready()
        return table(parts)

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            raise Refused(f"there is no {name}; there are: {' '.join(self._parts)}")
        return self._parts[name]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Refused(f"{text!r} is not a number of seconds, such as +90 or -0.5")
    return seconds
