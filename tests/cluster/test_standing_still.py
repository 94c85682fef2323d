"""A worker and a leader are stopped (SIGSTOP) until their sessions are over, and go on: nothing runs twice."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.installs import next_minute, sleep_until
from support.joblog import JobLog
from support.ticking import SETTLED, Ticking, created, tick_of
from support.wait import wait_until
from testbed.cluster import Cluster, Daemon
from testbed.processes import send, stop_all

SETTINGS = {"CRONKEEPER_FLEET_SESSION_TIMEOUT": "3", "CRONKEEPER_FLEET_RUN_LEASE": "6"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[Ticking]:
    home = tmp_path_factory.mktemp("still") / "cluster"
    with Cluster(home, settings=SETTINGS) as cluster:
        yield Ticking(cluster, JobLog(open_folder / "jobs"), count=4)


def test_what_a_worker_had_runs_elsewhere_and_what_it_had_started_is_reported_when_it_goes_on(
    fleet: Ticking,
) -> None:
    client = fleet.client
    long = created(client, type="command", command="sleep 20")
    path = f"/jobs/{long['id']}"
    minute = next_minute(margin=12)
    sleep_until(minute - 10)
    node = wait_until(lambda: client.get(path)["assigned_node"], 10)
    worker = fleet.cluster.workers[str(node)]
    run = client.call("POST", f"{path}/runs").json["id"]

    def state() -> Any:
        return client.get(f"/runs/{run}")["state"]

    wait_until(lambda: state() == "running", 5)
    stop_all(worker.pids)
    try:
        wait_until(lambda: node not in {*fleet.nodes().values(), client.get(path)["assigned_node"]}, 15)
        wait_until(lambda: state() == "lost", 15)
        sleep_until(minute + SETTLED.total_seconds())
        assert (fleet.log.doubled(), fleet.missed()) == ([], [])
    finally:
        send(worker.pids(), signal.SIGCONT)
    wait_until(lambda: state() == "succeeded", 20)
    sleep_until(next_minute() + SETTLED.total_seconds())
    assert (fleet.log.doubled(), fleet.missed()) == ([], [])
    assert tick_of(minute) in fleet.ticks()


def test_a_leader_that_was_stopped_finds_another_one_and_changes_nothing(fleet: Ticking) -> None:
    client = fleet.client
    leader = max(fleet.cluster.managers, key=epoch)
    before = epoch(leader)
    made = [created(client, type="command", command="true") for _ in range(3)]
    stop_all(leader.pids)  # in the middle of placing them
    try:
        for job in made:
            assert client.run_now(job["id"])["state"] == "succeeded"
        assert max(epoch(manager) for manager in fleet.cluster.managers) > before
        placed = {job["id"]: placed_at(fleet, job) for job in made}
    finally:
        send(leader.pids(), signal.SIGCONT)
    wait_until(lambda: f"epoch {before} is over" in leader.log_path.read_text(), 20)
    assert epoch(leader) == before
    assert {job["id"]: placed_at(fleet, job) for job in made} == placed
    more = created(client, type="command", command="true")
    assert client.run_now(more["id"])["state"] == "succeeded"


def placed_at(fleet: Ticking, job: dict[str, Any]) -> str:
    """The node that has the job."""
    return str(fleet.client.get(f"/jobs/{job['id']}")["assigned_node"])


def epoch(manager: Daemon) -> int:
    """The last epoch that a manager said it leads in."""
    said = [line for line in manager.log_path.read_text().splitlines() if " leads, epoch " in line]
    return int(said[-1].rpartition(" ")[2]) if said else 0
