"""From the POST of a job to its line in the crontab, one job after the other."""

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inotify_simple import INotify, flags
from support.wait import wait_until
from testbed.hosts import USER

from bench.measure import Row, medians, percentile, quotient, show
from bench.sites import Site, site

JOBS = 200
JOB = {"type": "command", "command": "true", "schedule": "0 0 1 1 *"}
# What an admin without cronkeeper does: read the table, write it with one more line, look whether it is there.
BY_HAND = """
import subprocess, sys, time
def crontab(word, table=b""):
    return subprocess.run(["crontab", word], input=table, capture_output=True).stdout
for number in range(int(sys.argv[1])):
    began = time.monotonic()
    table = crontab("-l") + b"0 0 1 1 * true # %d\\n" % number
    crontab("-", table)
    assert crontab("-l") == table
    print(1000 * (time.monotonic() - began))
"""
IN_CRONTAB = rb" # cronkeeper (\d+) "
IN_TREE = rb"/specs/(\d+)\."


class Sightings(threading.Thread):
    """Notes when each job is first seen in a file, on the clock of `time.monotonic`."""

    def __init__(self, path: Path, pattern: bytes) -> None:
        super().__init__(daemon=True)
        self.first: dict[str, float] = {}
        self._path, self._pattern = path, re.compile(pattern)
        self._inotify = INotify()
        self._inotify.add_watch(path.parent, flags.MODIFY | flags.MOVED_TO)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            if any(event.name == self._path.name for event in self._inotify.read(timeout=200)):
                now = time.monotonic()
                for found in self._pattern.finditer(self._path.read_bytes()):
                    self.first.setdefault(found[1].decode(), now)

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()
        self._inotify.close()


@contextmanager
def sightings(path: Path, pattern: bytes) -> Iterator[dict[str, float]]:
    """When each job was first seen, kept up to date while the block lasts."""
    watcher = Sightings(path, pattern)
    watcher.start()
    try:
        yield watcher.first
    finally:
        watcher.close()


def run(home: Path, install: str, jobs: int, runs: int) -> None:
    """Measure, and print."""
    by_hand: list[Row] = []
    ours: list[Row] = []
    parts: list[Row] = []
    for number in range(runs):
        with site(home / str(number), install) as place:
            by_hand.append(_ends(_by_hand(place, jobs)))
            answered, published, written = _measure(place, jobs)
        ours.append(_ends(written))
        parts.append([percentile(part, 50) if part else None for part in (answered, published, written)])
    title = f"ms until a line stands in the crontab, {jobs} jobs one after the other"
    show(title, ["p50", "p99", "most"], {"crontab -l, -, -l by hand": by_hand, "POST of a job": ours})
    ratio = [quotient(*pair) for pair in zip(medians(ours), medians(by_hand), strict=True)]
    show("the ratio of the medians", ["p50", "p99", "most"], {"cronkeeper / by hand": [ratio]})
    show(
        "where it goes: ms since the POST, p50",
        ["answered", "published", "written"],
        {"POST of a job": parts},
    )


def _measure(place: Site, jobs: int) -> tuple[list[float], list[float], list[float]]:
    """For each job, the ms until the API has answered, the leader has published it, and its line is there."""
    client = place.client()
    began: dict[str, float] = {}
    answered: dict[str, float] = {}
    with ExitStack() as stack:
        written = stack.enter_context(sightings(place.crontab, IN_CRONTAB))
        published: dict[str, float] = {}
        if place.embedded is not None:
            published = stack.enter_context(sightings(place.embedded.home / "tree.log", IN_TREE))
        for number in range(jobs):
            now = time.monotonic()
            job = client.create(**JOB, name=f"job {number}")["id"]
            began[job], answered[job] = now, time.monotonic()
            wait_until(lambda job=job: job in written, 30, every=0.001)  # type: ignore[misc]

    def since_post(seen: Mapping[str, float]) -> list[float]:
        return [1000 * (seen[job] - began[job]) for job in began if job in seen]

    return since_post(answered), since_post(published), since_post(written)


def _by_hand(place: Site, jobs: int) -> list[float]:
    """The same number of lines, added by a user of the host."""
    done = place.host.run([sys.executable, "-I", "-c", BY_HAND, str(jobs)], USER)
    return [float(line) for line in done.stdout.split()]


def _ends(values: Sequence[float]) -> Row:
    return [percentile(values, 50), percentile(values, 99), max(values)]
