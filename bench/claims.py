"""How many claims a second an ensemble of three takes from eight workers, each of which writes as a worker does."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from support.samples import TICK, unfinished
from testbed.server import dying_with_us

from bench.ensembles import ensemble
from bench.measure import Row, show
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, SetData
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
from cronkeeper.common.model import Claim, ClaimName, Generation, encode, tick_run_id
from cronkeeper.worker.worker import MAX_CLAIMS

WORKERS = 8
SECONDS = 8.0
TIMEOUT = 30.0
HEADER = ["claims a second"]


def run(home: Path, runs: int) -> None:
    """Measure, and print."""
    with ensemble(home / "ensemble") as hosts:
        bare = [[_together(hosts, "bare", number, WORKERS)] for number in range(runs)]
        ours = [[_together(hosts, "claims", number, WORKERS)] for number in range(runs)]
        alone: list[Row] = [[_together(hosts, "claims", runs + number, 1)] for number in range(runs)]
    rows = {"4 bytes each, kazoo's own calls": bare, "claims": ours, "claims of one worker alone": alone}
    show(
        f"{WORKERS} workers, {MAX_CLAIMS} claims of each under way at once, 3 ZooKeepers with fsync",
        HEADER,
        rows,
    )


def _together(hosts: str, what: str, run: int, workers: int) -> float:
    """The sum of what the workers wrote; each is a process of its own."""
    command = [*dying_with_us(), sys.executable, "-m", "bench.claims", hosts, what]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [*command, f"{what}{run}-{number}"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    done = 0.0
    for process in processes:
        assert process.stdout is not None
        done += float(process.stdout.read())
        process.stdout.close()
        process.wait()
    return done / SECONDS


def _claims(hosts: str, node: str) -> int:
    """What one worker does in a burst: one job of its own after the other is claimed, many in each round."""
    tree = ZooKeeperTree(hosts, "/cronkeeper", TIMEOUT)
    for folder in paths.node_skeleton(node):
        tree.ensure(folder)
    names = [ClaimName(job, 1, Generation(1, job)) for job in range(1, MAX_CLAIMS + 1)]
    at = [paths.claim(node, name) for name in names]
    tree.commit_many([[Create(path, encode(Claim()))] for path in at])
    _begin()
    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        claim = encode(_claimed(rounds))
        results = tree.commit_many([[SetData(path, claim, rounds)] for path in at])
        assert results == [None] * len(at), results
        rounds += 1
    tree.close()
    return rounds * len(at)


def _claimed(rounds: int) -> Claim:
    """A claim with one run in it."""
    tick = TICK + timedelta(minutes=rounds)
    return Claim(watermark=tick, unfinished=(unfinished(tick_run_id(1, 1, tick, 1)),))


def _bare(hosts: str, node: str) -> int:
    """The same number of writes with nothing in them, by kazoo alone."""
    from kazoo.client import KazooClient

    client = KazooClient(hosts=hosts, timeout=TIMEOUT)
    client.start()
    at = [f"/bare/{node}/{number}" for number in range(MAX_CLAIMS)]
    for path in at:
        client.create(path, makepath=True)
    _begin()
    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        for asked in [client.set_async(path, b"%04d" % (rounds % 10_000), rounds) for path in at]:
            asked.get(TIMEOUT)
        rounds += 1
    client.stop()
    return rounds * len(at)


def _begin() -> None:
    """Say that all is ready, and wait for the others."""
    print("ready", flush=True)
    sys.stdin.read()


def main(arguments: Sequence[str]) -> None:
    """One worker: HOSTS WHAT NODE. Prints how many it wrote."""
    hosts, what, node = arguments
    print((_bare if what == "bare" else _claims)(hosts, node))


if __name__ == "__main__":
    main(sys.argv[1:])
