"""Nodes that are cut off, or whose daemon hangs: what runs there ends before it begins elsewhere, or goes on."""

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.ticking import created
from support.wait import wait_until
from testbed.cluster import Cluster

RUN_LEASE = 20.0
PATIENCE = 90.0
SAY = 'echo "$CRONKEEPER_RUN_ID $CRONKEEPER_ATTEMPT $(hostname) $(date +%s.%N)"'
HEARTBEAT = f"while :; do {SAY} >> {{}}; sleep 0.1; done"


class Beats:
    """Jobs that write down all the time that they go on."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.client = Client(cluster.url, cluster.admin_token)
        self.path = folder / "beats"
        self.path.touch()
        self.path.chmod(0o666)

    def begin(self, node: str, **policies: Any) -> str:
        """Start a run by hand on this node and return its id without the attempt."""
        command = HEARTBEAT.format(self.path)
        job = created(self.client, type="command", command=command, grace=2, node=node, **policies)
        wait_until(lambda: self.client.get(f"/jobs/{job['id']}")["assigned_node"] == node, 15)
        answer = self.client.call("POST", f"/jobs/{job['id']}/runs")
        run = str(answer.json["id"]).rpartition(".")[0]
        wait_until(lambda: self.of(run))
        # From now on any node may have it.
        self.client.call("PATCH", f"/jobs/{job['id']}", {"node": None})
        return run

    def of(self, run: str) -> dict[int, list[float]]:
        """The moments at which each attempt went on."""
        found: defaultdict[int, list[float]] = defaultdict(list)
        for line in self.path.read_text().splitlines():
            run_id, attempt, _, moment = line.split()
            if run_id.startswith(f"{run}."):
                found[int(attempt)].append(float(moment))
        return found

    def state(self, run: str, attempt: int) -> str:
        return str(self.client.get(f"/runs/{run}.{attempt}")["state"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"CRONKEEPER_FLEET_RUN_LEASE": str(RUN_LEASE)}
    with Cluster(tmp_path_factory.mktemp("isolated") / "cluster", nodes=3, settings=settings) as cluster:
        yield cluster


def test_what_runs_again_elsewhere_has_ended_before_whatever_happened_to_the_node(
    cluster: Cluster, open_folder: Path
) -> None:
    beats = Beats(cluster, open_folder)
    cut = beats.begin("n1", on_node_loss="rerun")
    hung = beats.begin("n2", on_node_loss="rerun")
    finishes = beats.begin("n1")
    stops = beats.begin("n1", when_isolated="stop")
    cluster.hosts["n1"].cut()
    daemon = cluster.workers["n2"].daemon_pid
    os.kill(daemon, signal.SIGSTOP)

    wait_until(lambda: all(2 in beats.of(run) for run in (cut, hung)), PATIENCE)
    for run in (cut, hung):
        first, second = (beats.of(run)[attempt] for attempt in (1, 2))
        assert max(first) < min(second)
    assert beats.of(cut)[2][0] - beats.of(cut)[1][-1] < RUN_LEASE
    assert beats.of(stops)[1][-1] < beats.of(cut)[2][0]
    assert beats.of(finishes)[1][-1] > beats.of(cut)[2][0] - 1.0

    cluster.hosts["n1"].heal()
    os.kill(daemon, signal.SIGCONT)
    wait_until(lambda: beats.state(finishes, 1) == "running" or beats.state(finishes, 1) == "lost", 40)
    assert {beats.state(run, 1) for run in (cut, hung, stops)} == {"lost"}
    assert {beats.state(run, 2) for run in (cut, hung)} == {"running"}
    last = beats.of(finishes)[1][-1]
    wait_until(lambda: beats.of(finishes)[1][-1] > last + 1.0)
    assert all(set(beats.of(run)) == {1, 2} for run in (cut, hung))


def test_a_job_that_says_so_goes_on_where_its_node_is_cut_off_and_each_of_its_ticks_begins_once(
    cluster: Cluster, open_folder: Path
) -> None:
    client = Client(cluster.url, cluster.admin_token)
    path = open_folder / "alone"
    path.touch()
    path.chmod(0o666)
    line = f'echo "$CRONKEEPER_RUN_ID $CRONKEEPER_FENCING_TOKEN" >> {path}'
    created(client, type="command", command=line, schedule="*/2 * * * * *", node="n3", when_isolated="run")

    def begun() -> list[list[str]]:
        return [each.split() for each in path.read_text().splitlines()]

    wait_until(lambda: len(begun()) >= 2, PATIENCE)
    cluster.hosts["n3"].cut()
    alone = 4
    wait_until(lambda: sum(token.count(".") == 3 for _, token in begun()) >= alone, PATIENCE)
    cluster.hosts["n3"].heal()
    wait_until(lambda: begun()[-1][1].count(".") == 2, PATIENCE)
    runs = [run for run, _ in begun()]
    assert len(runs) == len(set(runs))
    tokens = [tuple(map(int, token.split("."))) for _, token in begun()]
    assert tokens == sorted(set(tokens))
    told = [f"/runs/{run}" for run in runs]
    wait_until(
        lambda: all(client.call("GET", run).json.get("state") == "succeeded" for run in told), PATIENCE
    )
