"""Many jobs due in the same minute, in turns under cronkeeper and under bare crond."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.installs import next_minute, sleep_until
from testbed.hosts import Host

from bench.measure import KNOWN_LOAD, Row, cpu, medians, percentile, prove, quotient, show
from bench.sites import site

# In turns: cronkeeper's in the even minutes, the peer's in the odd ones.
JOB = {"type": "command", "schedule": "*/2 * * * *"}
ODD = "1-59/2 * * * *"
BEFORE, AFTER = 4.0, 50.0
"""Seconds around a minute within which all CPU counts; by then the last report has been acknowledged."""
USER = "nobody"
"""Whom the jobs run as under bare crond: the same as under cronkeeper where nobody says otherwise."""
HEADER = ["CPU s", "first", "p50", "p99", "starts", "unfinished"]


class StartLog:
    """A file to which each job appends the instant of its start, in one write."""

    def __init__(self, path: Path) -> None:
        path.touch()
        path.chmod(0o666)
        self._path = path
        self.command = f"date +%s.%N >> {path}"

    def lateness(self, minute: float) -> list[float]:
        """Seconds after that minute of each start that belongs to it, sorted."""
        starts = (float(line) - minute for line in self._path.read_text().split())
        return sorted(late for late in starts if 0 <= late < 60)


@dataclass(frozen=True)
class Burst:
    """CPU seconds by role, lateness in seconds of each start, and the runs that were not yet all done with."""

    spent: Counter[str]
    late: list[float]
    left: int | None

    @property
    def row(self) -> Row:
        """As `HEADER` says."""
        ends = [self.late[0], percentile(self.late, 50), percentile(self.late, 99)]
        return [sum(self.spent.values()), *ends, len(self.late), self.left]


def run(home: Path, install: str, jobs: int, runs: int) -> None:
    """Measure, and print."""
    log, peer_log = StartLog(home / "starts"), StartLog(home / "peer")
    ours, theirs = [], []
    with _bare(home / "bare", peer_log, jobs) as peer, site(home / "site", install) as place:
        print(f"{KNOWN_LOAD:.2f} s of CPU that 100 short processes burn are measured as {prove(peer):.2f} s")
        place.add([{**JOB, "command": log.command, "name": f"job {number}"} for number in range(jobs)])
        minute = next_minute(2 * BEFORE)
        minute += minute % 120
        for _ in range(runs):
            ours.append(_measure(place.host, place.roles, log, minute, place.runs))
            theirs.append(_measure(peer, {}, peer_log, minute + 60))
            minute += 120
    _print(jobs, ours, theirs)


@contextmanager
def _bare(home: Path, log: StartLog, jobs: int) -> Iterator[Host]:
    """A host with nothing but its crond, and the jobs in its /etc/cron.d."""
    with Host(None, "bare", "", home) as host:
        new = home / "table"
        command = log.command.replace("%", "\\%")
        new.write_text(f"{ODD} {USER} {command}\n" * jobs)
        new.rename(host.cron_d / "jobs")
        yield host


def _measure(
    host: Host, roles: Mapping[int, str], log: StartLog, minute: float, runs: Path | None = None
) -> Burst:
    """What that minute costs the host, and how late its jobs start."""
    sleep_until(minute - BEFORE)
    before = cpu(host, roles)
    sleep_until(minute + AFTER)
    spent = cpu(host, roles)
    spent.subtract(before)
    return Burst(spent, log.lateness(minute), len(list(runs.iterdir())) if runs is not None else None)


def _print(jobs: int, ours: Sequence[Burst], theirs: Sequence[Burst]) -> None:
    rows = {"crond": [burst.row for burst in theirs], "cronkeeper": [burst.row for burst in ours]}
    show(f"{jobs} jobs due in the same minute: CPU s, and s after the minute", HEADER, rows)
    pairs = zip(medians(rows["cronkeeper"]), medians(rows["crond"]), strict=True)
    ratio = [quotient(*pair) for pair in list(pairs)[:4]]
    show("the ratio of the medians", HEADER[:4], {"cronkeeper / crond": [ratio]})
    for name, bursts in (("crond", theirs), ("cronkeeper", ours)):
        roles = sorted({role for burst in bursts for role in burst.spent})
        parts = {role: [[1000 * burst.spent[role] / jobs for burst in bursts]] for role in roles}
        show(f"{name}: ms of CPU for each job", [f"run {number + 1}" for number in range(len(bursts))], parts)
