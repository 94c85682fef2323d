"""The configuration of the servers that a fleet needs, each tried on the real one: ZooKeeper, MariaDB, chrony."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from kazoo.client import KazooClient
from support.deployed import DEPLOY, Database, adapted
from testbed.server import dying_with_us, free_port, program
from testbed.services import ZooKeeper

from cronkeeper.common.store import jobs
from cronkeeper.common.store.store import Store

SIZE = 3


class Member(ZooKeeper):
    """A server of the ensemble in deploy/, with its addresses and folders replaced."""

    def __init__(self, home: Path, number: int, members: Sequence[tuple[int, int]]) -> None:
        super().__init__(home)
        self._number, self._members = number, members

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)
        (self.home / "data/myid").write_text(f"{self._number}\n")
        servers = {
            f"10.0.0.4{number}:2888:3888": f"127.0.0.1:{quorum}:{election}"
            for number, (quorum, election) in enumerate(self._members, 1)
        }
        own = {
            "dataDir=/var/lib/zookeeper": f"dataDir={self.home / 'data'}",
            "clientPort=2181": f"clientPort={self.port}\nclientPortAddress=127.0.0.1",
        }
        (self.home / "zoo.cfg").write_text(adapted("zookeeper/zoo-3.cfg", {**servers, **own}))

    def command(self) -> list[str]:
        variables = defaults()
        flags = shlex.split(variables["JAVA_OPTS"].replace("1g", "64m"))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        java = [program("java"), "-cp", variables["CLASSPATH"], *flags, main]
        return [*dying_with_us(), *java, str(self.home / "zoo.cfg")]


def defaults() -> Mapping[str, str]:
    """What stands in the file of variables, as systemd and a shell read it."""
    lines = (DEPLOY / "zookeeper/zookeeper.default").read_text().splitlines()
    settings = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: shlex.split(value)[0] for name, value in settings}


def ask(server: ZooKeeper, word: str) -> str:
    """One of ZooKeeper's four-letter words."""
    script = 'exec 3<>"/dev/tcp/$0/$1"; printf "$2" >&3; cat <&3'
    command = ["bash", "-c", script, server.host, str(server.port), word]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    members = [(free_port(), free_port()) for _ in range(SIZE)]
    home = tmp_path_factory.mktemp("ensemble")
    servers = [Member(home / str(number), number, members) for number in range(1, SIZE + 1)]
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.await_ready()
        yield servers
    finally:
        for server in servers:
            server.kill()


def test_what_is_written_through_one_server_is_read_through_each(ensemble: list[Member]) -> None:
    clients = [KazooClient(server.hosts, timeout=6.0) for server in ensemble]
    for client in clients:
        client.start()
    for number, client in enumerate(clients):
        client.create(f"/by-{number}", b"x")
    for client in clients:
        client.sync("/")
        assert sorted(set(client.get_children("/")) - {"zookeeper"}) == ["by-0", "by-1", "by-2"]
    for client in clients:
        client.stop()
        client.close()


def test_the_server_grants_the_fleets_session_timeout_and_answers_only_what_it_should(
    ensemble: list[Member],
) -> None:
    configuration = (DEPLOY / "zookeeper/zoo-3.cfg").read_text()
    least, most = (re.search(f"^{key}SessionTimeout=(.*)", configuration, re.M) for key in ("min", "max"))
    assert least is not None
    assert most is not None
    assert int(least[1]) <= 6000 / 3 <= 6000 <= int(most[1])
    assert "zk_outstanding_requests" in ask(ensemble[0], "mntr")
    assert "is not executed because it is not in the whitelist" in ask(ensemble[0], "envi")
    log = (ensemble[0].home / "log").read_text()
    assert "minSessionTimeout set to 1000" in log, "it logs, and has taken the setting"


def test_an_ensemble_of_five_differs_by_its_servers_alone() -> None:
    three, five = ((DEPLOY / f"zookeeper/zoo-{size}.cfg").read_text().splitlines() for size in (3, 5))
    settings = [{line for line in each if line and not line.startswith("#")} for each in (three, five)]
    assert settings[1] - settings[0] == {f"server.{n}=10.0.0.4{n}:2888:3888" for n in (4, 5)}
    assert settings[0] - settings[1] == set()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One that setup.sql was run on."""
    server = Database(tmp_path_factory.mktemp("database"))
    try:
        server.start()
        server.set_up()
        yield server
    finally:
        server.stop()


def test_the_one_user_makes_the_tables_and_the_other_one_works_with_them(database: Database) -> None:
    makes = Store(database.of_upgrade)
    makes.upgrade()
    makes.close()
    works = Store(database.of_daemons)
    works.check()
    assert works.transaction(
        lambda conn: list(conn.execute(sa.select(sa.func.count()).select_from(jobs.job)))
    ) == [(0,)]
    works.close()


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE mine (a INT)", "DROP TABLE run", "SELECT * FROM mysql.user"]
)
def test_daemons_have_rows_only(database: Database, statement: str) -> None:
    engine = sa.create_engine(database.of_daemons.replace("mysql://", "mysql+mysqlconnector://"))
    with engine.connect() as conn, pytest.raises(sa.exc.ProgrammingError, match="denied"):
        conn.execute(sa.text(statement))
    engine.dispose()


def test_the_check_of_haproxy_may_ask_how_the_node_is_and_nothing_else(database: Database) -> None:
    url = f"mysql+mysqlconnector://haproxy_check@127.0.0.1:{database.port}/"
    engine = sa.create_engine(url)
    with engine.connect() as conn:
        conn.execute(sa.text("SHOW STATUS LIKE 'wsrep_local_state_comment'"))
        with pytest.raises(sa.exc.ProgrammingError, match="denied"):
            conn.execute(sa.text("SELECT * FROM cronkeeper.job"))
    engine.dispose()


def test_mariadb_takes_every_setting_of_a_galera_node(tmp_path: Path) -> None:
    configuration = tmp_path / "galera.cnf"
    configuration.write_text((DEPLOY / "mysql/galera.cnf").read_text())
    command = [program("mariadbd"), f"--defaults-file={configuration}", "--help", "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "unknown" in line or "ERROR" in line] == []
    said = dict(
        line.split(maxsplit=1) for line in done.stdout.splitlines() if len(line.split(maxsplit=1)) == 2
    )
    names = [
        line.split(" = ") for line in configuration.read_text().splitlines() if re.match(r"\w+ = ", line)
    ]
    assert len(names) > 15
    numbers = {"4G": str(4 * 2**30), "1G": str(2**30), "ON": "TRUE"}
    wrong = {
        name: said.get(name.replace("_", "-"))
        for name, value in names
        if said.get(name.replace("_", "-")) not in (value.strip('"'), numbers.get(value))
    }
    assert wrong == {}


def test_chrony_takes_every_setting_and_steps_only_at_its_start() -> None:
    path = DEPLOY / "chrony/chrony.conf"
    done = subprocess.run([program("chronyd"), "-p", "-f", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert said["makestep"] == ["0.1", "3"]
    assert said["leapsecmode"] == ["slew"]


def test_a_log_is_rotated_under_a_daemon_that_goes_on_writing(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    rules = tmp_path / "rules"
    rules.write_text(adapted("logrotate/cronkeeper", {"/var/log/cronkeeper": str(tmp_path)}))
    rules.chmod(0o644)
    command = [program("logrotate"), "--state", str(tmp_path / "state"), "--force", str(rules)]
    with log.open("ab", buffering=0) as daemon:
        daemon.write(b"before\n")
        subprocess.run(command, check=True)
        daemon.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "worker.log.1").read_bytes() == b"before\n"
