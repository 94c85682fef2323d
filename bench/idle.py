"""What many jobs cost of which none is due: memory, CPU, and the time of a start."""

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from support.wait import wait_until
from testbed.hosts import Host

from bench.measure import cpu, medians, memory, processes, quotient, show
from bench.sites import Site, site, site_of

SETTLE = 15.0
"""Seconds between a start, or the last job that was added, and the measuring."""
WINDOW = 60.0
HEADER = ["RSS MB", "PSS MB", "CPU %", "ready s", "lines s"]


def run(home: Path, install: str, jobs: int, runs: int) -> None:
    """Measure, and print."""
    schedule = f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"
    ours: list[list[float | None]] = []
    theirs: list[list[float | None]] = []
    sizes: dict[str, list[list[float | None]]] = {"guard": [], "daemon": []}
    with site(home / "site", install) as place, Host(None, "bare", "", home / "bare") as peer:
        (home / "bare/table").write_text(f"{schedule} nobody true\n" * jobs)
        (home / "bare/table").rename(peer.cron_d / "jobs")
        place.add([{"type": "command", "command": "true", "schedule": schedule}] * jobs)
        crond = next(pid for pid, process in processes(peer).items() if process.name == "cron")
        for _ in range(runs):
            started, ready, lines = _start_again(place, jobs)
            time.sleep(SETTLE)
            percent, peer_percent = _cpu(started, peer)
            sizes["guard"].append([*memory(started.guard)])
            sizes["daemon"].append([*memory(started.daemon)])
            both = zip(memory(started.guard), memory(started.daemon), strict=True)
            ours.append([*map(sum, both), percent, ready, lines])
            theirs.append([*memory(crond), peer_percent, None, None])
    show(f"{jobs} jobs, none of them due", HEADER, {"crond": theirs, "cronkeeper": ours})
    ratio = [quotient(*pair) for pair in zip(medians(ours), medians(theirs), strict=True)]
    show("the ratio of the medians", HEADER[:3], {"cronkeeper / crond": [ratio[:3]]})
    show("cronkeeper's two processes", HEADER[:2], sizes)


def _start_again(place: Site, jobs: int) -> tuple[Site, float | None, float | None]:
    """Stop and start, if that is ours: what runs then, and the seconds until it was ready and its lines stood."""
    if place.embedded is None:
        return place, None, None
    place.embedded.stop()
    began = time.monotonic()
    place.embedded.start()
    ready = time.monotonic() - began
    started = site_of(place.embedded)
    wait_until(lambda: started.lines == jobs, 60)
    return started, ready, time.monotonic() - began


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
