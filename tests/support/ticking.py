"""Jobs on a cluster that are due every minute while things happen to it, and what people do meanwhile."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import urllib3
from testbed.cluster import Cluster

from support.client import Client
from support.joblog import JobLog
from support.wait import wait_until

SETTLED = timedelta(seconds=15)
"""After it was due, a tick has begun: by crond, or by the worker's own clock, or late where the worker was away."""


class Ticking:
    """The jobs, and what they wrote down."""

    def __init__(self, cluster: Cluster, log: JobLog, count: int = 6) -> None:
        """Returns when each has its node."""
        self.cluster = cluster
        self.log = log
        self.client = Client(cluster.url, cluster.admin_token)
        self.jobs = [
            self.client.create(type="command", command=log.command, schedule="* * * * *")["id"]
            for _ in range(count)
        ]
        wait_until(lambda: all(self.nodes().values()), 15)
        self.began = datetime.now(UTC)

    def nodes(self) -> dict[str, str]:
        """Where each job is."""
        return {job: self.client.get(f"/jobs/{job}")["assigned_node"] for job in self.jobs}

    def ticks(self) -> list[str]:
        """Every tick that was due since all jobs had their nodes, and should have begun by now."""
        first = int(self.began.timestamp()) // 60 + 1
        last = int((datetime.now(UTC) - SETTLED).timestamp()) // 60
        return [tick_of(60 * minute) for minute in range(first, last + 1)]

    def missed(self) -> list[tuple[str, str]]:
        """The (job, tick) pairs of which no job knows."""
        started = {(line.job, line.tick) for line in self.log.starts()}
        return [(job, tick) for tick in self.ticks() for job in self.jobs if (job, tick) not in started]


def tick_of(instant: float) -> str:
    """As the API and the jobs write it."""
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"


def created(client: Client, **job: Any) -> dict[str, Any]:
    """A new job, as soon as the API takes one again."""

    def attempt() -> dict[str, Any] | None:
        try:
            answer = client.call("POST", "/jobs", {"schedule": None, **job})
        except urllib3.exceptions.HTTPError:
            return None
        return answer.json if answer.status == 201 else None

    return wait_until(attempt, 30, every=0.2) or {}


def seconds_until_it_works(client: Client, deadline: float, **job: Any) -> float:
    """How long it takes until a new job was taken, placed, run by hand and reported; what fails is tried anew."""
    began = time.monotonic()

    def attempt() -> bool:
        try:
            made = client.call("POST", "/jobs", {"schedule": None, **job})
            if made.status != 201:
                return False
            run = client.call("POST", f"/jobs/{made.json['id']}/runs?wait={deadline:g}")
        except urllib3.exceptions.HTTPError:
            return False
        return run.status == 200 and bool(run.json["state"] == "succeeded")

    wait_until(attempt, deadline)
    return time.monotonic() - began
