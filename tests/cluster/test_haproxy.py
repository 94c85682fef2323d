"""HAProxy with the operators' own configuration, before two APIs and a Galera cluster that fail in turn."""

import re
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator

import mysql.connector
import pytest
import urllib3
from support.balancer import up
from support.wait import wait_until
from testbed.cluster import Cluster, Plan
from testbed.haproxy import CONFIGURATION, replaced
from testbed.netns import in_namespace
from testbed.server import program
from testbed.services import MariaDB

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("haproxy") / "cluster"
    with Cluster(home, 0, 1, plan=Plan(apis=2, databases=3)) as cluster:
        cluster.mariadb.execute("CREATE TABLE cronkeeper.told (number INT PRIMARY KEY)")
        yield cluster


@pytest.mark.parametrize("files", [["haproxy.cfg"], ["haproxy.cfg", "galera.cfg"]])
def test_the_configuration_is_taken_without_a_warning(files: list[str]) -> None:
    command = [program("haproxy"), "-c", "--", *files]
    done = subprocess.run(command, cwd=CONFIGURATION, capture_output=True, text=True, check=False)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


def test_an_address_that_is_not_in_the_configuration_is_not_replaced_in_silence() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.99"):
        replaced("server api1 10.0.0.21:30000", {"10.0.0.99": "10.77.0.111"})


def test_a_request_has_an_id_that_haproxy_logs_and_the_api_gives_back(cluster: Cluster) -> None:
    assert get(cluster, "/health", "of-the:caller.1").headers["X-Request-Id"] == "of-the:caller.1"
    own = get(cluster, "/health").headers["X-Request-Id"]
    for refused in ("two words", "x" * 65):
        assert re.fullmatch(r"[0-9a-f-]{36}", get(cluster, "/health", refused).headers["X-Request-Id"])
    wait_until(lambda: all(each in haproxy_log(cluster) for each in (own, "of-the:caller.1")))


def test_when_the_apis_are_killed_in_turn_no_get_fails(cluster: Cluster) -> None:
    statuses: list[int] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            statuses.append(get(cluster, "/openapi.json").status)

    asking = threading.Thread(target=ask)
    asking.start()
    for api in cluster.apis:
        api.kill()
        after = len(statuses)
        wait_until(lambda after=after: len(statuses) > after + 10 or not asking.is_alive(), 30)
        api.start()
        wait_until(lambda: up(cluster, "api") == {"api1", "api2"}, 20)
    enough.set()
    asking.join(30)
    assert set(statuses) == {200}


def test_the_databases_have_one_history_with_a_name(cluster: Cluster) -> None:
    asked = "SHOW STATUS LIKE 'wsrep_cluster_state_uuid'"
    names = {uuid.UUID(node.execute(asked).split()[1]) for node in cluster.databases}
    assert len(names) == 1
    assert names != {uuid.UUID(int=0)}


def test_when_the_writer_is_killed_the_next_takes_over_and_no_acknowledged_row_is_lost(
    cluster: Cluster,
) -> None:
    wait_until(lambda: up(cluster, "galera") == {"db1", "db2", "db3"}, 20)
    told = Told(cluster)
    told.write(20)
    assert told.server == cluster.databases[0].host
    cluster.databases[0].kill()
    killed = time.monotonic()
    told.write(20)
    gap = told.first_after(killed)
    print(f"the writer was away for {gap:.1f} s")
    assert gap < 20
    assert told.server == cluster.databases[1].host
    assert told.acknowledged <= rows(cluster.databases[2])
    cluster.databases[0].start()
    wait_until(lambda: "db1" in up(cluster, "galera"), 60)
    told.write(5)
    assert told.server == cluster.databases[0].host
    assert told.acknowledged <= rows(cluster.databases[1])
    told.close()


def test_a_node_without_the_majority_is_down_though_it_answers(cluster: Cluster) -> None:
    wait_until(lambda: up(cluster, "galera") == {"db1", "db2", "db3"}, 20)
    first, others = cluster.databases[0], cluster.databases[1:]
    for other in others:
        other.kill()
    wait_until(lambda: "db1" not in up(cluster, "galera"), 20)
    assert "Initialized" in first.execute("SHOW STATUS LIKE 'wsrep_local_state_comment'")
    # /health says 503 in both APIs now: they are asked nevertheless, and say why.
    wait_until(lambda: up(cluster, "api") == set(), 20)
    refused = get(cluster, "/jobs")
    assert (refused.status, refused.headers["Content-Type"]) == (503, PROBLEM)
    assert "no API server is there" not in refused.data.decode()
    first.kill()
    for server in cluster.databases:
        server.launch()
    for server in cluster.databases:
        server.await_ready()
    wait_until(lambda: get(cluster, "/health").status == 200, 40)


def test_without_any_api_haproxy_itself_says_so_as_the_api_would(cluster: Cluster) -> None:
    for api in cluster.apis:
        api.kill()
    wait_until(lambda: up(cluster, "api") | up(cluster, "api_as_it_is") == set())
    refused = get(cluster, "/jobs")
    assert (refused.status, refused.headers["Content-Type"]) == (503, PROBLEM)
    assert refused.json()["detail"] == "no API server is there"
    assert refused.headers["Retry-After"] == "1"


class Told:
    """A client that writes numbers through HAProxy, and keeps those that were acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._link: mysql.connector.MySQLConnection | None = None
        self._next = 0
        self._times: list[float] = []
        self.acknowledged: set[int] = set()
        self.server = ""

    def write(self, count: int) -> None:
        """Write so many; one that fails is given up, and the next has a new connection."""
        wanted = len(self.acknowledged) + count
        deadline = time.monotonic() + 30
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline
            self._next += 1
            try:
                self._write(self._next)
            except mysql.connector.Error:
                self.close()

    def first_after(self, instant: float) -> float:
        """How long after it the first row was acknowledged."""
        return min(each for each in self._times if each > instant) - instant

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _write(self, number: int) -> None:
        if self._link is None:
            self._link = self._connected()
        with self._link.cursor() as cursor:
            cursor.execute("INSERT INTO told VALUES (%s)", (number,))
            cursor.execute("SELECT @@wsrep_node_name")
            self.server = cursor.fetchall()[0][0]
        self.acknowledged.add(number)
        self._times.append(time.monotonic())

    def _connected(self) -> mysql.connector.MySQLConnection:
        assert self._cluster.haproxy is not None
        with in_namespace(self._cluster.network.namespace):
            return mysql.connector.connect(
                host=self._cluster.haproxy.host,
                user=MariaDB.user,
                password=MariaDB.password,
                database="cronkeeper",
                collation="utf8mb4_general_ci",
                autocommit=True,
                use_pure=True,
                connection_timeout=5,
            )


def rows(node: MariaDB) -> set[int]:
    """What a node has once it has applied all that the cluster took in before: the others lag behind the writer."""
    said = node.execute("SELECT number FROM cronkeeper.told")
    return {int(line) for line in said.split()}


def get(cluster: Cluster, path: str, request_id: str | None = None) -> urllib3.BaseHTTPResponse:
    headers = {"X-Request-Id": request_id} if request_id is not None else {}
    headers["Authorization"] = f"Bearer {cluster.admin_token}"
    return urllib3.request("GET", cluster.url + path, headers=headers, timeout=30, retries=False)


def haproxy_log(cluster: Cluster) -> str:
    assert cluster.haproxy is not None
    return cluster.haproxy.log_path.read_text()
