"""The figures of real daemons: an API of two processes, a manager and a worker, over HTTP."""

import os
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.wait import wait_until
from testbed.cluster import CRONKEEPER
from testbed.server import dying_with_us, free_port

from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store.store import Store

TOKENS = {"admin": "the admin's token", "user": "the user's token"}
REFUSED = 78
Start = Callable[..., "subprocess.Popen[str]"]


def figures(url: str, token: str | None = None) -> dict[str, float]:
    """All samples of a page, each by what it is called there."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def start(tmp_path: Path, zk_chroot: str) -> Iterator[Start]:
    """Starts a daemon with these settings; all of them share a database and a tree."""
    database = f"sqlite:///{tmp_path / 'cronkeeper.db'}"
    store = Store(database)
    store.upgrade()
    store.close()
    hosts, root = zk_chroot.split("/", 1)
    environment = os.environ | {
        "CRONKEEPER_SQL_URL": database,
        "CRONKEEPER_ZOOKEEPER_HOSTS": hosts,
        "CRONKEEPER_ZOOKEEPER_ROOT": f"/{root}",
        **{f"CRONKEEPER_S3_{key}": "unused" for key in ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY")},
        **{f"CRONKEEPER_API_{role.upper()}_TOKEN": token for role, token in TOKENS.items()},
        "TMPDIR": str(tmp_path),
    }
    with ExitStack() as stack:

        def begin(daemon: str, **settings: str) -> "subprocess.Popen[str]":
            started = subprocess.Popen(
                [*dying_with_us(), *CRONKEEPER, daemon],
                env=environment | {f"CRONKEEPER_{key}": value for key, value in settings.items()},
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(_end, started)
            return started

        yield begin


def _end(daemon: "subprocess.Popen[str]") -> None:
    daemon.terminate()
    print(daemon.communicate(timeout=30)[1])


def answers(url: str, token: str | None = None) -> Callable[[], dict[str, float] | None]:
    def ask() -> dict[str, float] | None:
        try:
            return figures(url, token)
        except (urllib.error.URLError, ConnectionError):
            return None

    return ask


class TwoProcesses:
    """An API whose requests go to one of its processes, or to whichever takes them."""

    def __init__(self, start: Start, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.master = start("api", API_BIND=f"127.0.0.1:{port}", API_WORKERS="2")
        self._folder = folder
        wait_until(answers(f"{self.url}/metrics", TOKENS["user"]), 30)

    def processes(self) -> list[int]:
        listed = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def ask(self, times: int, of: int) -> None:
        """GET /jobs of one process: the others are stopped meanwhile."""
        others = [pid for pid in self.processes() if pid != of]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(times):
            headers = {"Authorization": f"Bearer {TOKENS['user']}"}
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.url}/jobs", headers=headers)
            ) as answer:
                assert answer.status == 200
        for pid in others:
            os.kill(pid, signal.SIGCONT)

    def asked(self) -> set[float]:
        """How many requests for jobs there were, as often as it takes for both processes to have said so."""
        name = "cronkeeper_api_request_duration_seconds_count endpoint=jobs.listing method=GET status=2xx"
        return {figures(f"{self.url}/metrics", TOKENS["user"]).get(name, 0.0) for _ in range(20)}

    def folders(self) -> list[Path]:
        return list(self._folder.glob("cronkeeper-figures-*"))


@pytest.fixture
def api(start: Start, tmp_path: Path) -> TwoProcesses:
    return TwoProcesses(start, tmp_path)


def test_an_api_of_two_processes_tells_the_sums_whichever_answers(api: TwoProcesses) -> None:
    wait_until(lambda: len(api.processes()) == 2)
    first, second = api.processes()
    api.ask(3, first)
    api.ask(4, second)
    wait_until(lambda: api.asked() == {7.0})

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(api.processes()) == 2 and first not in api.processes())
    api.ask(2, second)
    wait_until(lambda: api.asked() == {9.0})  # what a process counted that is gone stays counted


def test_an_api_of_two_processes_shows_its_own_figures_and_those_of_sql_only(api: TwoProcesses) -> None:
    shown = figures(f"{api.url}/metrics", TOKENS["admin"])
    assert shown["cronkeeper_runs_ended_total state=failed"] == 0
    assert shown["cronkeeper_runs_unfinished state=running"] == 0
    assert [name for name in shown if "_worker_" in name or "_manager_" in name or "pid=" in name] == []


def test_the_folder_of_the_figures_is_private_and_goes_with_the_api(api: TwoProcesses) -> None:
    (folder,) = api.folders()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    killed = api.processes()[0]
    os.kill(killed, signal.SIGTERM)
    wait_until(lambda: len(api.processes()) == 2 and killed not in api.processes())
    assert api.folders() == [folder]
    api.master.terminate()
    assert api.master.wait(30) == 0
    assert api.folders() == []


def test_a_manager_and_a_worker_show_their_figures_where_they_are_told_to(
    start: Start, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    key = tmp_path / "node.key"
    NodeKey.generate().save(key)
    start("manager", MANAGER_METRICS=f"127.0.0.1:{ports[0]}")
    start(
        "worker",
        WORKER_METRICS=f"127.0.0.1:{ports[1]}",
        WORKER_NODE="alpha",
        WORKER_HOME=str(tmp_path / "worker"),
        WORKER_KEY_FILE=str(key),
        WORKER_CRONTAB="none",
        API_URL="http://127.0.0.1:1",
    )
    of_manager, of_worker = (answers(f"http://127.0.0.1:{port}/metrics") for port in ports)

    def settled() -> bool:
        manager, worker = of_manager(), of_worker()
        return (
            manager is not None
            and worker is not None
            and manager["cronkeeper_manager_nodes state=live"] == 1
            and worker["cronkeeper_worker_lease_remaining_seconds"] > 0
        )

    wait_until(settled, 30)
    manager, worker = of_manager() or {}, of_worker() or {}
    assert (manager["cronkeeper_manager_leads"], manager["cronkeeper_manager_epoch"]) == (1, 1)
    assert worker["cronkeeper_worker_lease_remaining_seconds"] <= 4
    assert worker["cronkeeper_worker_skips_total reason=too_late"] == 0
    assert [name for name in worker if "_manager_" in name or "_api_" in name] == []
    assert manager["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("daemon", ["manager", "worker"])
def test_an_address_that_is_taken_refuses_the_daemon(daemon: str, start: Start, api: TwoProcesses) -> None:
    address = api.url.removeprefix("http://")
    refused = start(daemon, **{f"{daemon.upper()}_METRICS": address})
    assert refused.wait(30) == REFUSED
    assert refused.stderr is not None
    assert (
        f"{daemon}.metrics: nothing can listen at {address}: Address already in use" in refused.stderr.read()
    )
