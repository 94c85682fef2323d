"""How many jobs a second are taken in, by one connection and by many."""

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import Row, show
from bench.sites import Site, site

SECONDS = 6.0
CONNECTIONS = (1, 8, 32)
HEADER = [f"{number} connections" for number in CONNECTIONS]
JOB = {"type": "command", "command": "/usr/bin/true", "schedule": "0 0 1 1 *"}


def run(home: Path, install: str, runs: int) -> None:
    """Measure, and print."""
    ours: list[Row] = []
    theirs: list[Row] = []
    with site(home / "site", install) as place:
        for number in range(runs):
            theirs.append([_rate(count, _rows(home / f"bare-{number}.db")) for count in CONNECTIONS])
            ours.append([_rate(count, _posts(place)) for count in CONNECTIONS])
    title = "jobs a second that were answered with 201, and rows that bare SQLite commits one by one"
    show(title, HEADER, {"one row, one commit": theirs, "POST /jobs": ours})


def _rate(connections: int, connect: Callable[[], Callable[[], None]]) -> float:
    """How often a second it is done, all connections together; each has a thread of its own."""
    end = threading.Event()

    def again_and_again() -> int:
        once, done = connect(), 0
        while not end.is_set():
            once()
            done += 1
        return done

    with ThreadPoolExecutor(connections) as pool:
        began = time.monotonic()
        counts = [pool.submit(again_and_again) for _ in range(connections)]
        time.sleep(SECONDS)
        end.set()
        total = sum(count.result() for count in counts)
        return total / (time.monotonic() - began)


def _posts(place: Site) -> Callable[[], Callable[[], None]]:
    body = json.dumps(JOB)
    headers = {"Authorization": f"Bearer {place.token}", "Content-Type": "application/json"}

    def connect() -> Callable[[], None]:
        connection = http.client.HTTPConnection(place.url.removeprefix("http://"), timeout=60)

        def post() -> None:
            connection.request("POST", "/jobs", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 201, said

        return post

    return connect


def _rows(file: Path) -> Callable[[], Callable[[], None]]:
    """As durable as ours: WAL, and every commit on the disk."""
    with sqlite3.connect(file) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, body TEXT)")

    def connect() -> Callable[[], None]:
        connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")

        def insert() -> None:
            connection.execute("INSERT INTO job (body) VALUES (?)", (json.dumps(JOB),))

        return insert

    return connect
