"""A node loses power: when that is seen, when its jobs are published elsewhere, and when crontab there has them."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from support.client import Client
from support.wait import wait_until
from testbed.cluster import Cluster, Plan
from testbed.server import dying_with_us

from bench.latency import IN_CRONTAB, sightings
from bench.measure import Row, show
from bench.sites import PER_JOB
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree

JOB = {"type": "command", "command": "true", "schedule": "0 0 1 1 *"}
ENSEMBLE = Plan(zookeepers=3)
HEADER = ["seen, s", "published, s", "in crontab, s"]
DYING, OTHER = "n1", "n2"


def run(home: Path, count: int, runs: int) -> None:
    """Measure, and print."""
    rows: list[Row] = []
    for number in range(runs):
        with Cluster(home / str(number), plan=ENSEMBLE) as cluster:
            rows.append(_fail_over(cluster, count))
    show(f"a node with {count} jobs loses power", HEADER, {"each since the one before": rows})


def _fail_over(cluster: Cluster, count: int) -> Row:
    """Seconds from the end of its power to that of its session, to the last claim, to the last line."""
    client = Client(cluster.url, cluster.admin_token)
    cluster.power_off(OTHER)
    wait_until(lambda: not _live(client)[OTHER], 30)
    _fill(cluster, client, count)
    cluster.power_on(OTHER)
    wait_until(lambda: _live(client)[OTHER], 30)
    with sightings(cluster.hosts[OTHER].cron_d / "cronkeeper", IN_CRONTAB) as written:
        watcher = _watcher(cluster, count)
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "ready\n"
        began = time.monotonic()
        cluster.power_off(DYING)
        seen, published = (float(watcher.stdout.readline()) for _ in range(2))
        watcher.wait()
        wait_until(lambda: len(written) >= count, 60)
    return [seen - began, published - seen, max(written.values()) - published]


def _live(client: Client) -> dict[str, bool]:
    return {node["name"]: node["live"] for node in client.get("/nodes")}


def _fill(cluster: Cluster, client: Client, count: int) -> None:
    """All jobs on the one node that is live, and in its crontab."""
    for number in range(count):
        client.create(**JOB, name=f"job {number}")
    table = cluster.hosts[DYING].cron_d / "cronkeeper"

    def lines() -> int:
        return table.read_bytes().count(b" # cronkeeper ") if table.exists() else 0

    wait_until(lambda: lines() >= count, 30 + PER_JOB * count)


def _watcher(cluster: Cluster, count: int) -> subprocess.Popen[str]:
    """A process of its own, for the ensemble is reached from the cluster's network only."""
    hosts = ",".join(each.hosts for each in cluster.zookeepers)
    command = [*cluster.rooms["manager1"].prefix, *dying_with_us(), sys.executable, "-m", "bench.failover"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([*command, hosts, str(count)], env=environment, stdout=subprocess.PIPE, text=True)


def main(arguments: Sequence[str]) -> None:
    """Watch: HOSTS COUNT. Prints when the node's session has ended, and when another node has all its jobs."""
    tree = ZooKeeperTree(arguments[0], "/cronkeeper", 30.0)
    sign, claims = paths.live(DYING), paths.claims(OTHER)
    assert tree.get_many([sign]) != [None]
    print("ready", flush=True)
    wait_until(lambda: tree.get_many([sign]) == [None], 60, every=0.002)
    print(time.monotonic(), flush=True)
    wait_until(lambda: len(tree.children(claims)) >= int(arguments[1]), 60, every=0.005)
    print(time.monotonic(), flush=True)
    tree.close()


if __name__ == "__main__":
    main(sys.argv[1:])
