"""What many jobs cost of which none is due: memory, CPU, and the time of a start."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from support.wait import wait_until
from testbed.hosts import Host

from bench.measure import Row, cpu, medians, memory, processes, quotient, show
from bench.sites import Site, site, site_of

SETTLE = 15.0
"""Seconds between a start, or the last job that was added, and the measuring."""
WINDOW = 60.0
HEADER = ["RSS MB", "PSS MB", "CPU %", "ready s", "lines s"]


@dataclass(frozen=True)
class Sample:
    """Rows of the tables."""

    ours: Row
    theirs: Row
    guard: Row
    daemon: Row


def run(home: Path, install: str, jobs: int, runs: int) -> None:
    """Measure, and print."""
    schedule = f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"
    with site(home / "site", install) as place, Host(None, "bare", "", home / "bare") as peer:
        (home / "bare/table").write_text(f"{schedule} nobody true\n" * jobs)
        (home / "bare/table").rename(peer.cron_d / "jobs")
        place.add([{"type": "command", "command": "true", "schedule": schedule}] * jobs)
        filled = _sample(place, peer, None, None)
        again = [_sample(*_start_again(place, peer, jobs)) for _ in range(runs)]
    rows = {
        "crond": [each.theirs for each in again],
        "cronkeeper as it was filled": [filled.ours],
        "started again": [each.ours for each in again],
    }
    show(f"{jobs} jobs, none of them due", HEADER, rows)
    pairs = zip(medians(rows["started again"]), medians(rows["crond"]), strict=True)
    ratio = [quotient(*pair) for pair in list(pairs)[:3]]
    show("the ratio of the medians", HEADER[:3], {"started again / crond": [ratio]})
    both = {"guard": [each.guard for each in again], "daemon": [each.daemon for each in again]}
    show("cronkeeper's two processes, started again", HEADER[:2], both)


def _sample(place: Site, peer: Host, ready: float | None, lines: float | None) -> Sample:
    """What is used when nothing has happened for a while."""
    time.sleep(SETTLE)
    percent, peer_percent = _cpu(place, peer)
    crond = next(pid for pid, process in processes(peer).items() if process.name == "cron")
    guard, daemon = memory(place.guard), memory(place.daemon)
    return Sample(
        ours=[guard[0] + daemon[0], guard[1] + daemon[1], percent, ready, lines],
        theirs=[*memory(crond), peer_percent, None, None],
        guard=[*guard],
        daemon=[*daemon],
    )


def _start_again(place: Site, peer: Host, jobs: int) -> tuple[Site, Host, float | None, float | None]:
    """Stop and start, if that is ours to do; the seconds are until it was ready, and until its lines stood."""
    if place.embedded is None:
        return place, peer, None, None
    place.embedded.stop()
    began = time.monotonic()
    place.embedded.start()
    ready = time.monotonic() - began
    started = site_of(place.embedded)
    wait_until(lambda: started.lines == jobs, 60)
    return started, peer, ready, time.monotonic() - began


def _cpu(place: Site, peer: Host) -> tuple[float, float]:
    """The percentage of one core that guard, daemon and what they start use, and the same of the peer's crond."""

    def spent() -> tuple[Counter[str], Counter[str]]:
        return cpu(place.host, place.roles), cpu(peer, {})

    before, peer_before = spent()
    time.sleep(WINDOW)
    after, peer_after = spent()
    ours = sum(after[role] - before[role] for role in after if role.startswith(("guard", "daemon")))
    theirs = sum(peer_after[role] - peer_before[role] for role in peer_after if role.startswith("cron"))
    return 100 * ours / WINDOW, 100 * theirs / WINDOW
