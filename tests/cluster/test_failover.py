"""The cluster, with its parts failing one after the other: everything resumes by itself."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.installs import Testbed, next_minute, sleep_until
from support.joblog import JobLog
from support.ticking import SETTLED, Ticking, created, tick_of
from support.wait import wait_until
from testbed.cluster import Cluster, Daemon

from cronkeeper.common.signing import NodeKey

JOBS = 6


class Fleet(Ticking):
    """A cluster with jobs that are due every minute."""

    def table(self, node: str) -> str:
        """The node's crontab."""
        return Testbed(self.cluster).crontabs()[node]

    def ran(self, job: str, tick: str) -> dict[str, Any] | None:
        """The run of a tick, once it has ended."""
        runs = self.client.get(f"/jobs/{job}/runs")
        return next((run for run in runs if run["tick"] == tick and run["ended_at"]), None)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[Fleet]:
    with Cluster(tmp_path_factory.mktemp("fleet") / "cluster") as cluster:
        yield Fleet(cluster, JobLog(open_folder / "jobs"), JOBS)


def test_when_a_host_dies_its_jobs_move_and_the_tick_in_the_gap_runs_elsewhere(fleet: Fleet) -> None:
    moved = [job for job, node in fleet.nodes().items() if node == "n1"]
    assert 0 < len(moved) < JOBS, "the jobs are not spread over both nodes"
    minute = next_minute(margin=6)
    sleep_until(minute - 3)
    fleet.cluster.power_off("n1")
    wait_until(lambda: set(fleet.nodes().values()) == {"n2"}, 20)
    wait_until(lambda: all(f"# cronkeeper {job} " in fleet.table("n2") for job in fleet.jobs), 5)
    for job in moved:
        run = wait_until(lambda job=job: fleet.ran(job, tick_of(minute)), 20)
        assert run is not None
        assert (run["node"], run["started_by"], run["exit_code"]) == ("n2", "adoption", int(job) % 3)
    assert fleet.log.doubled() == []


def test_a_host_that_is_back_takes_new_jobs_and_little_by_little_its_share_of_the_old_ones(
    fleet: Fleet,
) -> None:
    fleet.cluster.power_on("n1")
    wait_until(lambda: all(node["live"] for node in fleet.client.get("/nodes")), 30)
    job = created(fleet.client, type="command", command="hostname")
    wait_until(lambda: fleet.client.get(f"/jobs/{job['id']}")["assigned_node"] == "n1", 15)
    run = fleet.client.run_now(job["id"])
    assert fleet.client.output(run["id"]) == "n1\n"
    wait_until(lambda: "n1" in fleet.nodes().values(), 150)
    (moved,) = [each for each, node in fleet.nodes().items() if node == "n1"]
    wait_until(lambda: f"# cronkeeper {moved} " in fleet.table("n1"), 5)


def test_when_the_leader_dies_the_standby_places_the_next_job(fleet: Fleet) -> None:
    leader = max(fleet.cluster.managers, key=epoch)
    before = epoch(leader)
    leader.kill()
    job = created(fleet.client, type="command", command="echo placed by the standby")
    run = fleet.client.run_now(job["id"])
    assert run["state"] == "succeeded"
    assert max(epoch(manager) for manager in fleet.cluster.managers) > before
    leader.start()


def epoch(manager: Daemon) -> int:
    """The last epoch that a manager said it leads in."""
    said = [line for line in manager.log_path.read_text().splitlines() if " leads, epoch " in line]
    return int(said[-1].rpartition(" ")[2]) if said else 0


@pytest.mark.parametrize("name", ["mariadb", "zookeeper", "seaweedfs"])
def test_after_a_server_was_killed_and_started_everything_resumes_by_itself(fleet: Fleet, name: str) -> None:
    server = getattr(fleet.cluster, name)
    server.kill()
    time.sleep(3)  # long enough for everyone to notice
    server.start()
    script = f"#!/bin/sh\necho after {name}\n".encode()
    job = created(fleet.client, type="script", executable=base64.b64encode(script).decode())
    run = fleet.client.run_now(job["id"], wait=40)
    assert run["state"] == "succeeded", run
    assert fleet.client.output(run["id"]) == f"after {name}\n"


def test_a_forgotten_host_has_no_jobs_until_it_is_added_again(fleet: Fleet) -> None:
    client = fleet.client
    bound = created(client, type="command", command="hostname", node="n1")
    wait_until(lambda: assigned(client, bound)[0] == "n1", 15)
    assert client.call("DELETE", "/nodes/n1").status == 409
    fleet.cluster.power_off("n1")
    wait_until(lambda: not client.get("/nodes/n1")["live"], 20)
    assert client.call("DELETE", "/nodes/n1").status == 204
    alone = "there is no node n1, where alone it may run"
    wait_until(lambda: assigned(client, bound) == (None, alone), 15)
    assert [node["name"] for node in client.get("/nodes")] == ["n2"]
    fleet.cluster.power_on("n1")
    other = created(client, type="command", command="hostname")
    assert client.output(client.run_now(other["id"])["id"]) == "n2\n"
    assert assigned(client, bound) == (None, alone)
    key = NodeKey.load(fleet.cluster.hosts["n1"].home / "node.key").public
    assert client.call("POST", "/nodes", {"name": "n1", "public_key": key}).status == 201
    wait_until(lambda: assigned(client, bound) == ("n1", None), 30)
    assert client.output(client.run_now(bound["id"])["id"]) == "n1\n"


def assigned(client: Client, job: dict[str, Any]) -> tuple[str | None, str | None]:
    """Where a job is, and why it is not."""
    now = client.get(f"/jobs/{job['id']}")
    return now["assigned_node"], now["placement"]


def test_through_all_of_it_no_tick_was_lost_or_doubled(fleet: Fleet) -> None:
    minute = next_minute()
    sleep_until(minute + SETTLED.total_seconds())
    assert tick_of(minute) in fleet.ticks()
    assert (fleet.log.doubled(), fleet.missed()) == ([], [])
