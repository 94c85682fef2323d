"""What jobs write down themselves: the only witness that the tests of the promise believe."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Each line is one write of far less than a page, which Linux appends whole.
SCRIPT = """\
#!/bin/sh
what="$CRONKEEPER_JOB_ID ${{CRONKEEPER_TICK:--}} $CRONKEEPER_ATTEMPT $CRONKEEPER_FENCING_TOKEN $$"
say() {{ echo "$1 $what $(date +%s.%N) $2" >> {log}; }}
say start -
sleep {seconds}
code=$((CRONKEEPER_JOB_ID % 3))
say end $code
exit $code
"""


@dataclass(frozen=True)
class Line:
    what: str
    job: str
    tick: str
    attempt: str
    token: tuple[int, ...]
    pid: int
    instant: float
    code: int | None


class JobLog:
    """A log that many jobs append to, and the command that does."""

    def __init__(self, folder: Path, seen: Path | None = None, seconds: float = 0) -> None:
        """`seen` is the folder as the jobs see it."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        self._path = folder / "log"
        self._path.touch()
        self._path.chmod(0o666)
        inside = folder if seen is None else seen
        script = folder / "job.sh"
        script.write_text(SCRIPT.format(log=inside / "log", seconds=seconds))
        script.chmod(0o755)
        self.command = str(inside / "job.sh")

    def lines(self) -> list[Line]:
        return [_line(text) for text in self._path.read_text().splitlines()]

    def starts(self) -> list[Line]:
        return [line for line in self.lines() if line.what == "start"]

    def ends(self) -> dict[tuple[str, str], Line]:
        return {(line.job, line.tick): line for line in self.lines() if line.what == "end"}

    def doubled(self) -> list[tuple[str, str]]:
        """The (job, tick) pairs that were started more than once."""
        counts = Counter((line.job, line.tick) for line in self.starts())
        return [pair for pair, count in counts.items() if count > 1]


def _line(text: str) -> Line:
    what, job, tick, attempt, token, pid, instant, code = text.split()
    numbers = tuple(int(part) for part in token.split("."))
    return Line(
        what, job, tick, attempt, numbers, int(pid), float(instant), None if code == "-" else int(code)
    )
