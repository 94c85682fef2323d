"""A machine that is a copy of another one, and nodes that read their configuration again: on real hosts."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.joblog import JobLog
from support.wait import wait_until
from testbed.cluster import Cluster, Worker
from testbed.hosts import Host
from testbed.plan import address

SESSION_TIMEOUT = 6.0
REFUSED = 78
NEVER = "0 0 1 1 *"
SIGNALS = "grep SigBlk /proc/self/status"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("clone") / "cluster", managers=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return Client(cluster.url, cluster.admin_token)


@pytest.fixture
def copy(cluster: Cluster) -> Iterator[Host]:
    """A host that is to become a copy of n1."""
    with Host(cluster.network, "n9", address("n9"), cluster.home / "hosts" / "n9") as host:
        yield host


def config(cluster: Cluster, name: str) -> Path:
    return cluster.home / "hosts" / f"{name}.toml"


def clone(cluster: Cluster, host: Host) -> Worker:
    """What lies on n1 as it runs, and its worker on another host."""
    original = cluster.hosts["n1"]
    subprocess.run(["cp", "-a", original.home / "cronkeeper", host.home], check=False)  # files come and go
    shutil.copy(original.cron_d / "cronkeeper", host.cron_d)
    text = config(cluster, "n1").read_text()
    at = f'home = "{original.home}/cronkeeper"'
    assert at in text
    path = config(cluster, "n9")
    path.write_text(text.replace(at, f'home = "{host.home}/cronkeeper"'))
    return Worker(host, path, {})


def test_the_worker_of_a_copied_machine_is_refused_and_no_tick_starts_twice(
    cluster: Cluster, client: Client, copy: Host, open_folder: Path
) -> None:
    log = JobLog(open_folder / "clone")
    job = client.create(type="command", command="sleep 24", schedule=None, node="n1")
    asked = json.loads(client.call("POST", f"/jobs/{job['id']}/runs").body)
    run = f"/runs/{asked['id']}"
    wait_until(lambda: client.get(run)["state"] == "running", 15)
    begin = datetime.now(UTC) + timedelta(seconds=4)
    moments = [begin + timedelta(seconds=2 * each) for each in range(8)]
    for moment in moments:
        at = moment.isoformat()
        client.create(type="command", command=log.command, schedule="@once", at=at, node="n1")
    wait_until(lambda: client.get("/nodes/n1")["jobs"] >= len(moments), 10)
    own = cluster.hosts["n1"].cron_d / "cronkeeper"
    # Two writes of a table lie a second apart.
    wait_until(lambda: own.read_bytes().count(b"cronkeeper/spool") >= len(moments), 5)
    worker = clone(cluster, copy)
    table = (copy.cron_d / "cronkeeper").read_bytes()
    assert b"sleep 24" not in table
    assert table.count(b"cronkeeper/spool") >= len(moments)
    began, seen = time.monotonic(), set()
    worker.start()

    def ended() -> bool:
        seen.add(client.get(run)["state"])
        return not worker.pids()

    wait_until(worker.pids, 5)
    wait_until(ended, 2 * SESSION_TIMEOUT + 15, every=0.25)
    assert time.monotonic() - began > 2 * SESSION_TIMEOUT
    said = (copy.home / "worker.log").read_text()
    assert "another worker is live as node 'n1', on n1 (incarnation " in said
    assert "give this node a name of its own (worker.node)" in said
    assert "is started again" not in said
    assert seen == {"running"}, "the copy was heard of the original's run"
    assert (copy.cron_d / "cronkeeper").read_bytes() == table

    wait_until(lambda: len(log.ends()) == len(moments), 20)
    assert log.doubled() == []
    wait_until(lambda: client.get(run)["state"] == "succeeded", 20)
    assert client.get("/nodes/n1")["live"]


def test_a_second_worker_of_the_same_home_is_refused(cluster: Cluster) -> None:
    second = Worker(cluster.hosts["n2"], config(cluster, "n2"), {})
    second.start()
    log = cluster.hosts["n2"].home / "worker.log"
    wait_until(lambda: "another worker on this machine uses" in log.read_text(), 45)
    wait_until(lambda: not second.pids(), 5)
    assert json.loads(cluster.cronkeeper("node", "show", "n2", "--json"))["live"]


def test_a_node_tells_the_facts_of_its_machine(cluster: Cluster, client: Client) -> None:
    facts = wait_until(lambda: client.get("/nodes/n1")["facts"], 10)
    assert (facts["hostname"], facts["crond"], facts["crontab"]) == ("n1", "debian", "/etc/cron.d/cronkeeper")
    assert abs(facts["clock_offset"]) <= facts["clock_error"] + 0.002, "they share a clock"
    assert facts["clock_error"] < 1.0
    assert "Debian's cron" in cluster.cronkeeper("node", "show", "n1")


def test_labels_count_after_sighup_and_after_node_reload_and_wrong_ones_never(
    cluster: Cluster, client: Client
) -> None:
    def placed(job: Any, node: str) -> bool:
        return bool(client.get(f"/jobs/{job['id']}")["assigned_node"] == node)

    def label(node: str, text: str) -> None:
        path = config(cluster, node)
        path.write_text(
            path.read_text().replace(f'labels = ["host={node}"', f'labels = ["host={node}", {text}')
        )

    jobs = [
        client.create(type="command", command=SIGNALS, schedule=NEVER, requires={key: "yes"})
        for key in ("by-signal", "by-word")
    ]
    pids = cluster.workers["n2"].pids()
    label("n2", '"by-signal=yes"')
    os.kill(cluster.workers["n2"].guard_pid, signal.SIGHUP)
    wait_until(lambda: placed(jobs[0], "n2"), 15)
    label("n1", '"by-word=yes"')
    assert cluster.cronkeeper("node", "reload", "--all") == "n1: reloaded\nn2: reloaded\n"
    wait_until(lambda: placed(jobs[1], "n1"), 15)
    assert cluster.workers["n2"].pids() == pids, "nobody was started anew"
    run = json.loads(client.call("POST", f"/jobs/{jobs[0]['id']}/runs?wait=20").body)
    blocked = client.call("GET", f"/runs/{run['id']}/stdout").body
    assert int(blocked.split()[1], 16) == 0, (
        "a job is not to be without the signals that the guard holds back"
    )

    right = config(cluster, "n2").read_text()
    config(cluster, "n2").write_text(right.replace("by-signal=yes", "by-signal"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.cronkeeper("node", "reload", "n2")
    assert refused.value.returncode == 1
    assert "worker.labels" in client.get("/nodes/n2")["facts"]["configuration"]["error"]
    assert client.get("/nodes/n2")["labels"] == {"host": "n2", "by-signal": "yes"}
    config(cluster, "n2").write_text(right.replace("[worker]\n", "[worker]\nmetrics = '127.0.0.1:1'\n"))
    assert cluster.cronkeeper("node", "reload", "n2") == "n2: reloaded; needs a restart: worker.metrics\n"
