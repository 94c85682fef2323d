"""docs/operations.md, as an operator follows it: every procedure, block by block, while jobs are ticking.

One cluster goes through all of it, in the order of the page.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.joblog import JobLog
from support.operator import DESK, PAGE, Operator, blocks
from support.wait import wait_until
from testbed.cluster import Cluster, Worker
from testbed.hosts import Host
from testbed.plan import Plan, address
from testbed.services import MariaDB, SeaweedFS

NEW = "n3"
NOT_CARRIED_OUT = " (not carried out by the tests)"
ZOOKEEPERS = ["zk1", "zk2", "zk3"]
PLACES = {
    "on your machine": [DESK],
    "on the node": [NEW],
    "on each API server, one after the other": ["api1", "api2"],
    "on each manager, one after the other": ["manager1", "manager2"],
    "on the database server": ["db1"],
    "on the ZooKeeper server": ["zk2"],
    "on the other ZooKeeper servers": ["zk1", "zk3"],
    "on every ZooKeeper server": ZOOKEEPERS,
}
FLEET = {
    "CRONKEEPER_FLEET_SESSION_TIMEOUT": "3",
    "CRONKEEPER_FLEET_RUN_LEASE": "6",
    "CRONKEEPER_API_DRAIN_DELAY": "0.5",
}
EXAMPLES = {
    "web3": NEW,
    "10.0.0.41:2181,10.0.0.42:2181,10.0.0.43:2181": ",".join(f"{address(zk)}:2181" for zk in ZOOKEEPERS),
    "https://s3.example:9000": f"http://{address('s3')}:8333",
    "http://10.0.0.10:30000": f"http://{address('haproxy')}:30000",
    "@'10.0.0.10'": "@'%'",
    "@10.0.0.10:3306": f"@{address('db1')}:3306",
}


class Fleet:
    """The cluster, what is ticking in it, and who looks after it."""

    def __init__(self, cluster: Cluster, operator: Operator, folder: Path) -> None:
        self.cluster = cluster
        self.operator = operator
        self.client = Client(cluster.url, cluster.admin_token)
        self.log = JobLog(folder / "jobs")
        self.ticking = [self.create(schedule="* * * * *", command=self.log.command) for _ in range(3)]

    def create(self, **fields: Any) -> str:
        """A job, once it is on a node or waits for one."""
        job: str = self.client.create(type="command", **fields)["id"]
        wait_until(lambda: self.where(job) is not None or self.seen(job)["placement"] is not None, 20)
        return job

    def seen(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/jobs/{job}")
        return found

    def where(self, job: str) -> str | None:
        node: str | None = self.seen(job)["assigned_node"]
        return node

    def works(self, job: str) -> None:
        """A run by hand goes all the way."""
        run_id = wait_until(lambda: self._asked(job), 40)
        wait_until(lambda: self.client.get(f"/runs/{run_id}")["exit_code"] is not None, 40)

    def _asked(self, job: str) -> str | None:
        answer = self.client.call("POST", f"/jobs/{job}/runs?wait=20")
        return answer.json["id"] if answer.status == 200 else None

    def doubled(self) -> list[tuple[str, str]]:
        """The ticks that were started more than once; what was asked for by hand has none."""
        return [each for each in self.log.doubled() if each[1] != "-"]

    def says(self, token: str) -> int:
        """The status that the API answers this token with."""
        return Client(self.cluster.url, token).call("GET", "/jobs").status


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("operations") / "cluster"
    secrets = home / "etc/secrets"
    secrets.mkdir(parents=True)
    files = {
        "CRONKEEPER_SQL_URL_FILE": secrets / "sql_url",
        "CRONKEEPER_API_USER_TOKEN_FILE": secrets / "user_token",
    }
    settings = FLEET | {name: str(path) for name, path in files.items()}
    cluster = Cluster(home, settings=settings, plan=Plan(zookeepers=3, apis=2))
    (secrets / "user_token").write_text(cluster.user_token)
    (secrets / "sql_url").write_text(
        f"mysql://{MariaDB.user}:{MariaDB.password}@{address('db1')}:3306/cronkeeper"
    )
    with cluster, Operator(cluster, PLACES, EXAMPLES) as operator:
        yield Fleet(cluster, operator, open_folder)


def test_every_block_of_the_page_is_carried_out_but_for_those_that_say_so(fleet: Fleet) -> None:
    text = PAGE.read_text()
    firsts = re.findall(r"^```sh\n# (.*)$", text, re.MULTILINE)
    assert len(firsts) == text.count("```sh"), "a block does not begin with where it runs"
    assert {each for each in firsts if not each.endswith(NOT_CARRIED_OUT)} == set(PLACES)
    followed = re.findall(r'follow\(\s*"([^"]+)"', Path(__file__).read_text())
    told = sum(1 for each in firsts if not each.endswith(NOT_CARRIED_OUT))
    assert sum(len(blocks(section)) for section in set(followed)) == told


def test_a_node_that_is_added_gets_a_job(fleet: Fleet) -> None:
    machine(fleet.cluster)
    for name, secret in (("s3_access_key", SeaweedFS.access_key), ("s3_secret_key", SeaweedFS.secret_key)):
        (fleet.operator.folder / name).write_text(secret)
    said = fleet.operator.follow("Add a node")
    assert "the configuration is right" in said
    assert "test-bed-only" not in said
    assert fleet.client.get(f"/nodes/{NEW}")["labels"] == {"disk": "ssd"}


def test_a_label_that_is_added_lets_a_job_come(fleet: Fleet) -> None:
    job = fleet.create(command="true", requires={"site": "berlin"})
    assert fleet.seen(job)["placement"] == "no live node has the label site=berlin"
    fleet.operator.follow("Change what a node is")
    wait_until(lambda: fleet.where(job) == NEW, 15)
    fleet.works(job)
    fleet.client.call("DELETE", f"/jobs/{job}")


def test_a_node_gets_another_key(fleet: Fleet) -> None:
    before = (fleet.cluster.hosts[NEW].home / "etc/node.key").read_bytes()
    fleet.operator.follow("The key of a node")
    assert (fleet.cluster.hosts[NEW].home / "etc/node.key").read_bytes() != before
    wait_until(lambda: fleet.client.get(f"/nodes/{NEW}")["live"], 20)
    job = fleet.create(command="true", node=NEW)
    fleet.works(job)
    fleet.client.call("DELETE", f"/jobs/{job}")


def test_a_node_that_is_paused_and_resumed_works_again(fleet: Fleet) -> None:
    said = fleet.operator.follow("Pause a node")
    assert f"node {NEW} is paused; what runs goes on" in said
    assert f"node {NEW} is resumed" in said
    job = fleet.create(command="true", node=NEW)
    fleet.works(job)
    fleet.client.call("DELETE", f"/jobs/{job}")


def test_the_jobs_of_a_node_that_is_removed_go_elsewhere(fleet: Fleet) -> None:
    moving = fleet.create(command="true", schedule="@yearly", requires={"disk": "ssd"})
    wait_until(lambda: fleet.where(moving) == NEW, 15)
    fleet.client.call("PATCH", f"/jobs/{moving}", {"requires": {}})
    table = fleet.cluster.hosts[NEW].cron_d / "cronkeeper"
    wait_until(lambda: table.exists() and f"# cronkeeper {NEW} begin" in table.read_text(), 10)
    fleet.operator.follow("Remove a node")
    wait_until(lambda: fleet.where(moving) in ("n1", "n2"), 15)
    fleet.works(moving)
    assert f"# cronkeeper {NEW}" not in table.read_text()
    assert fleet.client.call("GET", f"/nodes/{NEW}").status == 404


def test_a_token_of_the_api_is_rotated_by_restarts(fleet: Fleet) -> None:
    old = fleet.cluster.user_token
    fleet.operator.follow("The API's two tokens")
    assert fleet.says(old) == 401
    assert fleet.says((fleet.operator.folder / "user_token").read_text().strip()) == 200


def test_a_token_of_the_api_is_rotated_by_sighup(fleet: Fleet) -> None:
    old = (fleet.operator.folder / "user_token").read_text().strip()
    pids = [api.pid for api in fleet.cluster.apis]
    fleet.operator.follow("The same without a restart")
    new = (fleet.operator.folder / "user_token").read_text().strip()
    wait_until(lambda: all((fleet.says(new), fleet.says(old)) == (200, 401) for _ in range(4)), 20)
    assert [api.pid for api in fleet.cluster.apis] == pids


def test_a_token_of_a_person_is_replaced(fleet: Fleet) -> None:
    answer = fleet.client.call("POST", "/tokens", {"name": "ci", "role": "user"})
    fleet.operator.follow("Tokens of people")
    wait_until(lambda: fleet.says(answer.json["token"]) == 401, 10)
    assert fleet.says((fleet.operator.folder / "ci-2.token").read_text().strip()) == 200


def test_the_password_of_the_database_is_rotated(fleet: Fleet) -> None:
    mariadb = fleet.cluster.mariadb
    # What the test-bed itself does with its database it goes on doing, as another user.
    mariadb.execute("GRANT ALL ON *.* TO 'operator'@'%' IDENTIFIED BY 'test-bed-only' WITH GRANT OPTION")
    mariadb.user = "operator"
    fleet.operator.follow("The password of the database")
    assert mariadb.execute("SELECT COUNT(*) FROM mysql.user WHERE user = 'cronkeeper'").strip() == "0"
    fleet.works(fleet.create(command="true"))


def test_sql_is_put_back_to_the_day_of_a_dump_and_what_ticks_goes_on(fleet: Fleet) -> None:
    removed, edited = fleet.create(command="true"), fleet.create(command="true", name="before")
    fleet.operator.follow("Back up")
    assert fleet.client.call("DELETE", f"/jobs/{removed}").status == 204
    assert fleet.client.call("PATCH", f"/jobs/{edited}", {"name": "after"}).status == 200
    made = fleet.create(schedule="* * * * *", command="true", name="created-later")
    said = fleet.operator.follow("Restore SQL")
    assert "SQL was put back to what it was at" in said
    assert f"job {made} (created-later) is known again by its spec" in said
    assert fleet.seen(made)["name"] == "created-later"
    fleet.works(made)
    again = fleet.create(command="true")
    assert int(again) > int(made) + 1000
    fleet.works(again)
    assert (fleet.seen(edited)["name"], fleet.seen(edited)["rev"]) == ("before", 3)
    assert len(fleet.client.get(f"/jobs/{made}/ledger")["unvouched"]) == 1
    wait_until(lambda: fleet.where(removed) is not None, 20)
    assert fleet.seen(removed)["status"] == "scheduled"
    assert "removed" in fleet.cluster.cronkeeper("job", "rm", removed)
    for job in fleet.ticking:
        fleet.works(job)
    assert fleet.doubled() == []


def test_a_lost_zookeeper_server_joins_again_with_an_empty_folder(fleet: Fleet) -> None:
    fleet.operator.follow("One ZooKeeper server is lost")
    fleet.cluster.zookeepers[1].await_ready()
    fleet.works(fleet.ticking[0])


def test_the_ensemble_is_put_back_from_a_copy_and_no_tick_runs_twice(fleet: Fleet) -> None:
    before = {job: fleet.where(job) for job in fleet.ticking}
    fleet.operator.follow("ZooKeeper, all of it, from a copy")
    wait_until(lambda: all(node["live"] for node in fleet.client.get("/nodes")), 30)
    for job in fleet.ticking:
        fleet.works(job)
    assert {job: fleet.where(job) for job in fleet.ticking} == before
    assert fleet.doubled() == []


def test_after_zookeeper_was_lost_all_jobs_are_published_again_and_no_tick_runs_twice(fleet: Fleet) -> None:
    paused = fleet.create(schedule="* * * * *", command="true", enabled=False)
    long = fleet.create(command="sleep 20")
    assert fleet.client.call("POST", f"/jobs/{long}/runs").status == 202
    wait_until(lambda: fleet.client.get(f"/jobs/{long}/runs")[0]["state"] == "running", 15)
    fleet.operator.follow("ZooKeeper, all of it, from nothing")
    counts = {node["name"]: node["jobs"] for node in fleet.client.get("/nodes")}
    there = sum(1 for job in fleet.client.get("/jobs") if job["status"] != "finished")
    assert sum(counts.values()) == there
    assert abs(counts["n1"] - counts["n2"]) <= 1, "the jobs are not spread"
    assert fleet.seen(paused)["enabled"] is False
    for job in fleet.ticking:
        fleet.works(job)
    wait_until(lambda: fleet.client.get(f"/jobs/{long}/runs")[0]["state"] == "succeeded", 30)
    ticks = len(fleet.log.starts())
    wait_until(lambda: len(fleet.log.starts()) >= ticks + len(fleet.ticking), 80)
    assert fleet.doubled() == []


def machine(cluster: Cluster) -> None:
    """A machine that stands ready: its folders are made, and what its unit would say is in the environment."""
    home = cluster.home / "hosts" / NEW
    host = Host(cluster.network, NEW, address(NEW), home)
    host.start()
    (home / "etc/secrets").mkdir()
    keys = ("s3_access_key", "s3_secret_key")
    variables = {f"CRONKEEPER_{key.upper()}_FILE": str(home / "etc/secrets" / key) for key in keys}
    own = {
        "CRONKEEPER_WORKER_HOME": str(home / "cronkeeper"),
        "CRONKEEPER_WORKER_KEY_FILE": str(home / "etc/node.key"),
    }
    cluster.hosts[NEW] = host
    cluster.workers[NEW] = Worker(host, home / "etc/cronkeeper.toml", FLEET | variables | own)
