"""How long a list of many jobs takes, page by page."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.client import Answer, Client

from bench.measure import Row, show
from bench.sites import CONNECTIONS, Site, site

PAGE = 500
NOWHERE = {"site": "nowhere"}
HEADER = ["all, s", "first page, ms", "slowest page, ms", "MB"]


def run(home: Path, install: str, jobs: int, runs: int) -> None:
    """Measure, and print."""
    ours: list[Row] = []
    theirs: list[Row] = []
    with site(home / "site", install) as place:
        _create(place, jobs)
        for number in range(runs):
            bodies: list[bytes] = []
            ours.append(_row(_pages(place.client()), bodies))
            theirs.append(_row(_rows(home / f"bare-{number}.db", bodies), []))
    title = f"{jobs} jobs in pages of {PAGE}: read from a bare table in SQLite as JSON that is ready, and GET /jobs"
    show(title, HEADER, {"bare rows": theirs, "GET /jobs": ours})


def _create(place: Site, count: int) -> None:
    """They require what no node has, so that they are in no crontab; each has a schedule of its own."""

    def create(numbers: Sequence[int]) -> None:
        client = place.client()
        for number in numbers:
            schedule = f"{number % 60} {number // 60 % 24} * * {number // 1440 % 7}"
            client.create(
                type="command", command=f"/usr/bin/backup {number}", schedule=schedule, enabled=False
            )

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(create, [range(first, count, CONNECTIONS) for first in range(CONNECTIONS)]))


def _row(pages: Iterator[bytes], bodies: list[bytes]) -> Row:
    times, size = [], 0
    began = before = time.monotonic()
    for page in pages:
        now = time.monotonic()
        times.append(now - before)
        before, size = now, size + len(page)
        bodies.append(page)
    return [before - began, times[0] * 1000, max(times) * 1000, size / 1e6]


def _pages(client: Client) -> Iterator[bytes]:
    path: str | None = f"/jobs?limit={PAGE}"
    while path is not None:
        answer = client.call("GET", path)
        assert answer.status == 200, answer.body
        yield answer.body
        path = _next(answer)


def _next(answer: Answer) -> str | None:
    link = answer.headers.get("Link")
    return None if link is None else link.partition("<")[2].partition(">")[0]


def _rows(file: Path, bodies: Sequence[bytes]) -> Iterator[bytes]:
    """The same jobs, each a row with its JSON as it was told."""
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, body TEXT)")
        jobs = [job for body in bodies for job in json.loads(body)]
        made.executemany("INSERT INTO job VALUES (?, ?)", [(int(job["id"]), json.dumps(job)) for job in jobs])
        made.commit()
        last = 0
        while rows := made.execute("SELECT id, body FROM job WHERE id > ? LIMIT ?", (last, PAGE)).fetchall():
            last = rows[-1][0]
            yield f"[{','.join(body for _, body in rows)}]".encode()
