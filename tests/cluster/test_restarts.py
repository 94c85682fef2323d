"""The whole cluster, with each of its servers killed and started again in turn: everything resumes by itself.

What it took is printed: pytest -s shows it.
"""

import base64
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.balancer import up
from support.installs import next_minute, sleep_until
from support.joblog import JobLog
from support.ticking import SETTLED, Ticking, seconds_until_it_works
from support.wait import wait_until
from testbed.cluster import Cluster
from testbed.netns import in_namespace
from testbed.server import Server

DEADLINE = 40
"""Seconds; magnitudes more than it takes."""
COMMAND = {"type": "command", "command": "true"}
SCRIPT = {"type": "script", "executable": base64.b64encode(b"#!/bin/sh\necho from S3\n").decode()}


@dataclass(frozen=True)
class Outage:
    """The death of one server."""

    server: Callable[[Cluster], Server]
    works: dict[str, str] | None
    """The job that is taken and run without it; None where none is."""
    over_a_tick: bool = False
    """Whether it is away while the jobs of a minute are due."""


def leader(cluster: Cluster) -> Server:
    """The ZooKeeper that leads the others."""
    return next(each for each in cluster.zookeepers if "Mode: leader" in srvr(cluster, each))


def srvr(cluster: Cluster, server: Server) -> str:
    with in_namespace(cluster.network.namespace):
        link = socket.create_connection((server.host, server.port), timeout=5)
    with link, link.makefile("rb") as answer:
        link.sendall(b"srvr")
        return answer.read().decode()


def writer(cluster: Cluster) -> Server:
    """The node of Galera that all connections lead to: the first one that is up."""
    serving = wait_until(lambda: up(cluster, "galera"), 20)
    return next(each for each in cluster.databases if each.home.name in serving)


def balancer(cluster: Cluster) -> Server:
    assert cluster.haproxy is not None
    return cluster.haproxy


def is_whole(cluster: Cluster) -> bool:
    """Whether HAProxy would use every database, and both APIs, which say that all that they need is well."""
    databases = {each.home.name for each in cluster.databases}
    return up(cluster, "galera") == databases and up(cluster, "api") == {"api1", "api2"}


OUTAGES = {
    "the ZooKeeper leader": Outage(leader, SCRIPT, over_a_tick=True),
    "the Galera writer": Outage(writer, SCRIPT),
    "SeaweedFS": Outage(lambda cluster: cluster.seaweedfs, COMMAND),
    "HAProxy": Outage(balancer, None, over_a_tick=True),
}


@pytest.fixture(scope="module")
def ticking(whole: Cluster, open_folder: Path) -> Iterator[Ticking]:
    return Ticking(whole, JobLog(open_folder / "restarts"))


@pytest.mark.parametrize("name", OUTAGES)
def test_after_a_server_was_killed_and_started_everything_resumes_by_itself(
    ticking: Ticking, name: str
) -> None:
    outage = OUTAGES[name]
    server = outage.server(ticking.cluster)
    minute = next_minute(margin=2)
    if outage.over_a_tick:
        sleep_until(minute - 1)
    server.kill()
    told = f"{name} ({server.home.name}) was killed: "
    if outage.works is not None:
        told += f"a {outage.works['type']} was run {after(ticking, outage.works)}; "
    else:
        sleep_until(minute + 4)
    began = time.monotonic()
    server.launch()
    told += f"it was started: a script was run {after(ticking, SCRIPT)}, "
    server.await_ready()
    wait_until(lambda: is_whole(ticking.cluster), DEADLINE)
    print(f"\n{told}the cluster was whole {time.monotonic() - began:.1f} s later")
    after(ticking, SCRIPT)


def after(ticking: Ticking, job: dict[str, str]) -> str:
    return f"{seconds_until_it_works(ticking.client, DEADLINE, **job):.1f} s later"


def test_through_all_of_it_no_tick_was_lost_or_doubled(ticking: Ticking) -> None:
    sleep_until(next_minute() - 60 + SETTLED.total_seconds())
    assert len(ticking.ticks()) > 1
    assert (ticking.log.doubled(), ticking.missed()) == ([], [])
    wait_until(lambda: all(ended(ticking, job) for job in ticking.jobs), 20)


def ended(ticking: Ticking, job: str) -> bool:
    """Whether the API knows the end of every tick that was due."""
    runs = ticking.client.get(f"/jobs/{job}/runs")
    over = {run["tick"] for run in runs if run["state"] in ("succeeded", "failed")}
    return set(ticking.ticks()) <= over
