"""The servers of the test-bed: they keep their data, and die with the process that started them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from kazoo.client import KazooClient
from support.wait import wait_until
from testbed.server import dying_with_us
from testbed.services import MariaDB, MissingProgram, SeaweedFS, Server, ZooKeeper, free_port

KINDS = {"ZooKeeper": ZooKeeper, "MariaDB": MariaDB, "SeaweedFS": SeaweedFS}
STARTER = """
import sys
import tempfile
from pathlib import Path
import testbed.services
server = getattr(testbed.services, sys.argv[1])(Path(sys.argv[2]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_zookeeper_keeps_what_was_created_when_it_is_killed_and_restarted(
    own_zookeeper: Callable[[], ZooKeeper],
) -> None:
    server = own_zookeeper()
    client = KazooClient(server.hosts, timeout=2)
    client.start()
    client.create("/kept", b"value")
    server.kill()
    server.start()
    wait_until(lambda: client.connected)
    assert client.retry(client.get, "/kept")[0] == b"value"
    client.stop()
    client.close()


def test_mariadb_keeps_what_was_committed_when_it_is_killed_and_restarted(
    own_mariadb: Callable[[], MariaDB],
) -> None:
    server = own_mariadb()
    url = server.create_database("kept")
    for statement in ("CREATE TABLE kept.words (word TEXT)", "INSERT INTO kept.words VALUES ('größer 😀')"):
        server.execute(statement)
    server.kill()
    server.start()
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT word FROM words").scalar() == "größer 😀"
    engine.dispose()


def test_a_mariadb_that_starts_takes_no_temporary_tables_of_another(
    own_mariadb: Callable[[], MariaDB],
) -> None:
    prefix = "#sql-temptable-"  # by it they are known, and are deleted where they are found
    with tempfile.NamedTemporaryFile(prefix=prefix, suffix=".MAI") as table:
        own_mariadb()
        assert Path(table.name).exists()


@pytest.mark.parametrize("name", KINDS)
def test_a_server_dies_with_the_process_that_started_it(name: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, name, str(tmp_path / "home")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert _runs(pid)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        wait_until(lambda: not _runs(pid))


def test_what_a_server_has_started_is_killed_with_it(tmp_path: Path) -> None:
    class Forking(ZooKeeper):
        def command(self) -> list[str]:
            return [*dying_with_us(), "/bin/sh", "-c", "sleep 1000 & sleep 1000"]

    server = Forking(tmp_path)
    server.launch()
    found = wait_until(lambda: len(pids := server.pids()) == 3 and pids)
    server.kill()
    wait_until(lambda: not any(_runs(pid) for pid in found))
    assert server.pids() == []


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(1000)]
    given += [port for _ in range(500) for port in pair(free_port(beside=100))]
    assert len(set(given)) == len(given)


def pair(port: int) -> tuple[int, int]:
    return port, port + 100


def test_a_missing_program_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(ZooKeeper):
        def command(self) -> list[str]:
            from testbed.server import program

            return [program("no-such-program")]

    server: Server = Absent(tmp_path)
    with pytest.raises(MissingProgram, match="no-such-program is not installed: run make deps"):
        server.start()


def test_each_test_has_a_database_of_its_own(maria_url: str, mariadb: MariaDB) -> None:
    assert mariadb.execute(f"SHOW TABLES FROM {maria_url.split('/')[-1].split('?')[0]}") == ""


def test_each_test_has_a_chroot_of_its_own(zk_chroot: str) -> None:
    client = KazooClient(zk_chroot)
    client.start()
    assert client.get_children("/") == []
    client.stop()
    client.close()


def _runs(pid: int) -> bool:
    """True while the process is there and isn't a zombie that waits for its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
