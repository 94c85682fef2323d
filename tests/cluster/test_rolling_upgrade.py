"""One version after the other, daemon by daemon, while jobs tick and people ask: nobody notices."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import urllib3
from support.balancer import up
from support.checkout import copy_to
from support.client import Answer, Client
from support.installs import next_minute, sleep_until
from support.joblog import JobLog
from support.ticking import SETTLED, Ticking, seconds_until_it_works
from support.wait import wait_until
from testbed.cluster import Cluster
from testbed.netns import in_namespace

from cronkeeper.common.store.migrations import NEWEST

NEXT_FORM = f"{int(NEWEST) + 1:04}"
STEP = f'''"""As the next version may have it: something more is kept."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_FORM}"
down_revision = "{NEWEST}"
oldest = "{NEWEST}"


def upgrade() -> None:
    for table in ("job", "run"):
        op.add_column(table, sa.Column("of_the_next_version", sa.String(16)))
'''


@dataclass(frozen=True)
class Version:
    """An installed version: what it calls itself, and the variables that lead to it."""

    name: str
    variables: dict[str, str]


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Version:
    """The next version, built from this one: another number, and another form of the tables."""
    tree = tmp_path_factory.mktemp("next")
    copy_to(tree)
    found = re.search(r"^version = (\d+)\.(\d+)\..*", (tree / "setup.cfg").read_text(), re.MULTILINE)
    assert found is not None
    number = f"{found[1]}.{int(found[2]) + 1}.0"
    replace(tree / "setup.cfg", found[0], f"version = {number}")
    steps = tree / "common/store/migrations"
    replace(steps / "__init__.py", f'NEWEST = "{NEWEST}"', f'NEWEST = "{NEXT_FORM}"')
    (steps / f"versions/v{NEXT_FORM}_next.py").write_text(STEP)
    target = open_folder / "next"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--root-user-action=ignore", "--target", target]
    subprocess.run([*pip, *options, tree], check=True)
    return Version(number, {"PYTHONPATH": str(target)})


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} says {old!r} {text.count(old)} times"
    file.write_text(text.replace(old, new))


class Traffic:
    """People who go on asking, and who go on running jobs by hand, until the block ends."""

    def __init__(self, ticking: Ticking) -> None:
        self.seen: list[str] = []
        """What became of each GET."""
        self.asked: list[str] = []
        """What became of each POST that asked for a run."""
        self.runs: list[str] = []
        client = ticking.client
        self._jobs = [
            client.create(type="command", command="true", node=node)["id"] for node in ticking.cluster.hosts
        ]
        self._paths = ("/jobs", "/nodes", f"/jobs/{ticking.jobs[0]}/runs", "/openapi.json")
        self._url, self._token = client.url, ticking.cluster.admin_token
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._get, self._run)]

    def _get(self) -> None:
        client = Client(self._url, self._token)
        while not self._enough.wait(0.02):
            for path in self._paths:
                self.seen.append(outcome(lambda path=path: client.call("GET", path))[0])

    def _run(self) -> None:
        client = Client(self._url, self._token)
        while not self._enough.wait(0.1):
            for job in self._jobs:
                what, run = outcome(lambda job=job: client.call("POST", f"/jobs/{job}/runs?wait=20"))
                self.asked.append(what)
                self.runs += [run["id"]] if run is not None else []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def outcome(call: Callable[[], Answer]) -> tuple[str, Any]:
    """The status, and the body where all is well; else what went wrong."""
    try:
        answer = call()
    except urllib3.exceptions.HTTPError as error:
        return repr(error), None
    if answer.status >= 300:
        return f"{answer.status} {answer.body!r}", None
    return str(answer.status), answer.json


@pytest.fixture(scope="module")
def ticking(later: Version, whole: Cluster, open_folder: Path) -> Iterator[Ticking]:
    return Ticking(whole, JobLog(open_folder / "upgrade"))


def test_every_daemon_is_upgraded_in_turn_and_nobody_notices(ticking: Ticking, later: Version) -> None:
    cluster, client = ticking.cluster, ticking.client
    before = client.get("/health")["version"]
    assert {node["version"] for node in client.get("/nodes")} == {before} != {later.name}
    with Traffic(ticking) as traffic:
        cluster.upgrade_tables(later.variables)
        exchange_workers(ticking, later)
        assert client.get("/health")["version"] == before
        exchange_managers(ticking, later)
        exchange_apis(cluster, later)
        took = seconds_until_it_works(client, 30, type="command", command="true")
        print(f"\nafter it a job runs {took:.1f} s later")
        sleep_until(next_minute() + SETTLED.total_seconds())
    print(f"{len(traffic.seen)} GETs, {len(traffic.runs)} runs by hand")
    assert set(traffic.seen) == {"200"}
    assert set(traffic.asked) <= {"200", "202"}
    wait_until(lambda: all(client.get(f"/runs/{run}")["state"] == "succeeded" for run in traffic.runs), 20)
    assert len(ticking.ticks()) > 1
    assert (ticking.log.doubled(), ticking.missed()) == ([], [])
    assert cluster.mariadb.execute("SELECT version_num FROM cronkeeper.alembic_version") == f"{NEXT_FORM}\n"


def exchange_workers(ticking: Ticking, version: Version) -> None:
    """The first one over a tick, and each while something runs there."""
    client = ticking.client
    minute = next_minute(margin=5)
    for name, worker in ticking.cluster.workers.items():
        worker.variables |= version.variables
        run = goes_on(client, name, minute - 4)
        sleep_until(minute - 1)
        worker.stop()
        worker.start()
        wait_until(lambda name=name: is_of(client.get(f"/nodes/{name}"), version), 30)
        wait_until(lambda run=run: client.get(run)["state"] == "succeeded", 30)


def goes_on(client: Client, node: str, instant: float) -> str:
    """The path of a run on the node, which began at that instant or later, and takes another five seconds."""
    job = client.create(type="command", command="sleep 5", node=node)
    sleep_until(instant)
    asked = client.call("POST", f"/jobs/{job['id']}/runs")
    run = f"/runs/{asked.json['id']}"
    wait_until(lambda: client.get(run)["state"] == "running", 20)
    return run


def is_of(node: dict[str, Any], version: Version) -> bool:
    """Whether the node is live in that version."""
    return bool(node["live"]) and node["version"] == node["facts"]["version"] == version.name


def exchange_managers(ticking: Ticking, version: Version) -> None:
    for manager in ticking.cluster.managers:
        manager.variables |= version.variables
        manager.restart()
        took = seconds_until_it_works(ticking.client, 30, type="command", command="true")
        print(f"\n{manager.home.name} exchanged: a job runs {took:.1f} s later", end="")


def exchange_apis(cluster: Cluster, version: Version) -> None:
    for api in cluster.apis:
        api.variables |= version.variables
        began = time.monotonic()
        api.stop()
        print(f"\n{api.home.name} had left after {time.monotonic() - began:.1f} s", end="")
        api.start()
        wait_until(lambda: up(cluster, "api") == {"api1", "api2"}, 30)
        with in_namespace(cluster.network.namespace):
            health = urllib3.request("GET", f"http://{api.host}:{api.port}/health", timeout=10)
        assert (health.status, health.json()["version"]) == (200, version.name)
