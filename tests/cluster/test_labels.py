"""A job goes where its labels let it, on real servers, between two runs: no tick is lost or doubled."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.installs import next_minute, sleep_until
from support.joblog import JobLog
from support.wait import wait_until
from testbed.cluster import Cluster

RUN_SECONDS = 8.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("labels") / "cluster") as cluster:
        yield cluster


def test_the_labels_of_live_nodes_are_shown(cluster: Cluster) -> None:
    nodes = json.loads(cluster.cronkeeper("node", "list", "--json"))
    assert [node["labels"] for node in nodes] == [{"host": "n1"}, {"host": "n2"}]
    assert "host=n2" in cluster.cronkeeper("node", "show", "n2")


def test_a_job_follows_its_labels_and_its_node_and_every_tick_runs_once(
    cluster: Cluster, open_folder: Path
) -> None:
    client = Client(cluster.url, cluster.admin_token)
    log = JobLog(open_folder / "labels", seconds=RUN_SECONDS)
    sleep_until(next_minute(margin=25) - 55)  # so that no tick falls into the run by hand
    made = client.create(type="command", command=log.command, schedule="* * * * *", requires={"host": "n1"})
    path = f"/jobs/{made['id']}"

    def is_on(node: str | None) -> dict[str, Any] | None:
        seen: dict[str, Any] = client.get(path)
        return seen if seen["assigned_node"] == node else None

    def started(count: int) -> bool:
        return len(log.starts()) == count

    def edit(**changes: Any) -> None:
        answer = client.call("PATCH", path, changes)
        assert answer.status == 200, answer.body

    wait_until(lambda: is_on("n1"), 15)
    assert client.call("POST", f"{path}/runs").status == 202
    wait_until(lambda: started(1), 15)
    edit(requires={"host": "n2"})
    waiting = wait_until(lambda: client.get(path)["placement"], 5)
    assert str(waiting).startswith("moves to a node with the label host=n2 when run ")
    assert len(log.ends()) == 0, "it was not to leave before its run had ended"
    wait_until(lambda: is_on("n2"), 20)
    wait_until(lambda: started(2), 60)
    wait_until(lambda: len(log.ends()) == 2, 20)

    edit(requires={"host": "n3"})
    parked = wait_until(lambda: is_on(None), 20)
    assert parked is not None
    assert parked["placement"] == "no live node has the label host=n3"
    sleep_until(next_minute() + 8)
    assert started(2)
    edit(requires={}, node="n1")
    wait_until(lambda: is_on("n1"), 15)
    wait_until(lambda: started(3), 15)
    wait_until(lambda: len(log.ends()) == 3, 20)

    assert log.doubled() == []
    ticks = [datetime.fromisoformat(line.tick) for line in log.starts()[1:]]
    assert ticks[1] - ticks[0] == timedelta(minutes=1)
    runs = [(run["tick"], run["node"]) for run in client.get(f"{path}/runs")]
    told = [f"{tick:%Y-%m-%dT%H:%M:%SZ}" for tick in ticks]
    assert runs == [(told[1], "n1"), (told[0], "n2"), (None, "n1")]
