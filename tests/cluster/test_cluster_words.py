"""`make cluster`, as a person uses it: the picture, every word's effect, and nothing is left, even after a kill -9.

The tests are told to one cluster in turn, and the last but one kills it.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from support.wait import wait_until

ROOT = Path(__file__).parents[2]
PARTS = (
    *("haproxy", "api1", "api2", "manager1", "manager2", "zk1", "zk2", "zk3", "db1", "db2", "db3", "s3"),
    *("n1", "n1.worker", "n1.cron", "n2", "n2.worker", "n2.cron"),
)
ASK_ZOOKEEPER = "exec 3<>/dev/tcp/{}/2181 && echo srvr >&3 && timeout 2 cat <&3"


class Command:
    """The command, for one home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "cluster"
        self.log = folder / "said"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT / "deploy/testbed")}
        self._up: subprocess.Popen[bytes] | None = None

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words), env=self._environment, capture_output=True, text=True, check=False
        )

    def told(self, line: str) -> str:
        """What the cluster answers to a line that it obeys."""
        done = self.say(*shlex.split(line))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self, *options: str) -> None:
        """Start it, and return when it says how to end it."""
        self.begin(*options)
        wait_until(lambda: "Ctrl-C ends it" in self.said() or self.ended(), 120)
        assert not self.ended(), self.said()

    def begin(self, *options: str) -> None:
        with self.log.open("wb") as log:
            words = self._command("--port", "0", *options, "up")
            # As in a terminal, where Ctrl-C goes to the whole group.
            self._up = subprocess.Popen(
                words, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def said(self) -> str:
        return self.log.read_text()

    def ended(self) -> bool:
        return self._up is None or self._up.poll() is not None

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self._up is not None
        os.killpg(self._up.pid, signal.SIGINT)
        return self._up.wait(60)

    def kill(self) -> None:
        if self._up is not None:
            self._up.kill()
            self._up.wait()

    def processes(self) -> list[str]:
        """The processes that have the home in their command line or environment, or work in it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                cwd = str((folder / "cwd").readlink())
            except OSError:
                continue
            if str(self.home).encode() in text or cwd.startswith(str(self.home)):
                found.append(f"{folder.name} {text[:200]!r}")
        return found

    def mounts(self) -> list[str]:
        return [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.home) in line
        ]

    @property
    def url(self) -> str:
        found = re.search(r"this machine: (\S+)", self.said())
        assert found is not None
        return found[1]

    def healthy(self, timeout: float = 4.0) -> bool:
        """Whether the API answers, on this machine's loopback."""
        try:
            return urllib3.request("GET", f"{self.url}/health", timeout=timeout, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "testbed", "--home", str(self.home), *words]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("words"))
    command.up("--nodes", "2", "--galera")
    yield command
    command.kill()


def test_the_picture_names_every_part_and_says_how_to_reach_it(running: Command) -> None:
    for part in PARTS:
        assert re.search(rf"\[{part} 10\.77\.0\.\d+", running.said()) or "." in part, part
    reach = re.findall(r"export (CRONKEEPER_URL=\S+) (CRONKEEPER_TOKEN_FILE=\S+)", running.said())[0]
    environment = {**os.environ, **dict(each.split("=", 1) for each in reach)}
    listed = subprocess.run(
        [sys.executable, "-m", "cronkeeper.cli.main", "node", "list"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"n1", "n2"} <= set(listed.stdout.split())
    states = {line.split()[0]: line.split()[1] for line in running.told("status").splitlines()[1:]}
    assert states == dict.fromkeys(PARTS, "running")
    assert (running.home / "control").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("explode zk1", "known words:\nstatus"),
        ("kill", "known words:\nstatus"),
        ("kill zk9", "there is no zk9; there are: haproxy api1 "),
        ("start zk1", "zk1 is running"),
        ("cont zk1", "zk1 is running"),
        ("heal zk1", "the cable of zk1 is in"),
        ("cut n1.worker", "n1.worker has no cable of its own: take n1"),
        ("skew zk1 1", "zk1 has no clock of its own"),
        ("skew n1 soon", "'soon' is not a number of seconds"),
        ("up", "one runs already"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(running: Command, line: str, why: str) -> None:
    done = running.say(*line.split())
    assert done.returncode == 1
    assert why in done.stderr


def test_a_zookeeper_whose_cable_is_pulled_answers_nobody(running: Command) -> None:
    follower = next(name for name in ("zk1", "zk2", "zk3") if "Mode: follower" in srvr(running, name))
    running.told(f"cut {follower}")
    assert "running, cut" in running.told("status")
    assert srvr(running, follower) == ""
    running.told(f"heal {follower}")
    wait_until(lambda: "Mode: follower" in srvr(running, follower), 20)


def test_a_skewed_host_has_another_time_and_so_have_its_crond_and_its_worker(running: Command) -> None:
    running.told("skew n1 +3600")
    assert 3590 < int(running.told("run n1 date +%s")) - time.time() < 3610
    assert abs(int(running.told("run n2 date +%s")) - time.time()) < 10
    assert "+3600 s" in running.told("status")
    for part in ("n1.cron", "n1.worker"):
        assert skewed_library_in(running, part)
    running.told("skew n1 -0.5")
    assert abs(int(running.told("run n1 date +%s")) - time.time()) < 10
    running.told("skew n1 0")


def test_while_one_api_hangs_the_other_answers(running: Command) -> None:
    assert "stopped" in running.told("stop api1")
    wait_until(lambda: all(running.healthy() for _ in range(6)), 40)
    assert "running" in running.told("cont api1")


def test_what_was_killed_is_down_until_it_is_started_again(running: Command) -> None:
    running.told("kill haproxy db3 s3 manager1 zk1 n2.worker n1.cron")
    assert running.told("status").count(" down ") == 7
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", running.url, timeout=5, retries=False)
    assert "pid" not in running.told("run n1 sh -c 'pgrep cron && echo pid'")
    running.told("start haproxy s3 manager1 zk1 n2.worker n1.cron")
    wait_until(running.healthy, 30)
    assert "pid" in running.told("run n1 sh -c 'pgrep cron && echo pid'")
    assert "running" in running.told("start db3")


def test_a_host_without_power_runs_nothing_and_boots_again(running: Command) -> None:
    running.told("run n1 touch /etc/cron.d/kept")
    assert "stopped" in running.told("stop n1")
    running.told("kill n1")
    assert "n1 is not running" in running.say("run", "n1", "true").stderr
    running.told("start n1")
    assert running.told("run n1 ls /etc/cron.d").split().count("kept") == 1
    assert running.told("status").count(" down ") == 0


def test_after_a_kill_nothing_runs_and_the_next_one_starts_and_goes_down(running: Command) -> None:
    running.told("cut n2")
    assert running.told("stop n1 api2").count("stopped") == 2
    running.kill()
    wait_until(lambda: running.processes() == [], 20)
    assert running.mounts() == []
    assert running.say("status").stdout == "no cluster runs: make cluster\n"
    assert running.say("down").returncode == 0
    running.up("--nodes", "0")
    assert running.told("down") == "the cluster is gone\n"
    wait_until(running.ended)
    assert not running.home.exists()
    assert running.processes() == []


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    command = Command(tmp_path)
    try:
        command.begin("--nodes", "1")
        wait_until((command.home / "zk1/log").exists, 30)
        assert command.interrupt() == 0
        assert command.said() == "the cluster is gone\n"
        wait_until(lambda: command.processes() == [])
        assert not command.home.exists()
    finally:
        command.kill()


def test_make_hands_on_what_is_said() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "cluster"]
    for given, words in (
        (["DO=kill zk2"], "--nodes 5 kill zk2"),
        (["GALERA=1", "NODES=7"], "--nodes 7 --galera up"),
        (["GALERA=0"], "--nodes 5 up"),
    ):
        done = subprocess.run(
            [*command, *given],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"MAKEFLAGS": ""},
        )
        assert " ".join(done.stdout.splitlines()[-1].split()).endswith(f"-m testbed {words}")


def srvr(running: Command, name: str) -> str:
    """What a ZooKeeper says to a host of itself; nothing where it is out of reach."""
    host = f"10.77.0.{130 + int(name[-1])}"
    said = running.told(f"run n2 timeout 2 bash -c {shlex.quote(ASK_ZOOKEEPER.format(host))}")
    return said.strip() if "Mode:" in said else ""


def skewed_library_in(running: Command, part: str) -> bool:
    """Whether the part's process has loaded what shifts its clock."""
    line = next(line for line in running.told("status").splitlines() if line.startswith(f"{part} "))
    return "skew.so" in Path(f"/proc/{line.split()[3]}/maps").read_text()
