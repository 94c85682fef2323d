"""Hosts made of namespaces: what happens in one stays in it, and nothing is left of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.wait import wait_until
from testbed.clock import Clock
from testbed.hosts import USER, USER_HOME, Host, Network, child_of
from testbed.netns import in_namespace
from testbed.network import Room
from testbed.processes import in_group, is_stopped, send, stop_all
from testbed.services import ZooKeeper

MACHINE_CRONTABS = (Path("/etc/cron.d"), Path("/var/spool/cron"), Path("/etc/crontab"), Path("/etc/passwd"))
MAKER = """
import sys
from pathlib import Path
from testbed.hosts import Host, Network
network = Network()
host = Host(network, "n1", "10.77.0.11", Path(sys.argv[1]))
host.start()
print(host.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def hosts(network: Network, tmp_path: Path) -> list[Host]:
    """Two hosts on one network."""
    hosts = [Host(network, f"n{number}", f"10.77.0.1{number}", tmp_path / f"n{number}") for number in (1, 2)]
    for host in hosts:
        host.start()
    return hosts


def test_cron_starts_again_though_what_the_killed_one_had_forked_holds_its_lock(hosts: list[Host]) -> None:
    host = hosts[0]
    host.kill_cron()
    holder = host.exec(["flock", "/run/crond.pid", "sleep", "1"])
    wait_until(lambda: host.run(["flock", "-n", "/run/crond.pid", "true"], check=False).returncode != 0)
    host.start_cron()
    holder.wait(10)
    host.kill_cron()


def test_a_table_runs_on_its_host_alone_and_the_machines_own_tables_stay_untouched(
    hosts: list[Host], tmp_path: Path
) -> None:
    before = _state_of(MACHINE_CRONTABS)
    first, second = hosts
    line = f"* * * * * hostname > {USER_HOME}/ran; id -un >> {USER_HOME}/ran\n"
    first.run(["crontab", "-"], user=USER, text=line)
    assert line in first.crontab(USER).read_text()
    assert line in first.run(["crontab", "-l"], user=USER).stdout
    with Host(None, "alone", "127.0.0.1", tmp_path / "alone") as alone:
        (alone.cron_d / "test").write_text(f"* * * * * root id -un > {tmp_path}/ran\n")
        wait_until((first.user_home / "ran").exists, deadline=70, every=0.2)
        wait_until(lambda: (first.user_home / "ran").read_text() == f"n1\n{USER}\n")
        wait_until((tmp_path / "ran").exists)
        wait_until(lambda: (tmp_path / "ran").read_text() == "root\n")
    wait_until(lambda: f"session closed for user {USER}" in (first.home / "syslog").read_text())
    assert list(second.user_home.iterdir()) == []
    assert not second.crontab(USER).exists()
    assert _state_of(MACHINE_CRONTABS) == before


def test_a_host_without_a_network_is_on_the_machines(tmp_path: Path) -> None:
    with Host(None, "alone", "127.0.0.1", tmp_path / "alone") as host:
        assert _link(f"/proc/{host.pid}/ns/net") == _link("/proc/self/ns/net")
        with pytest.raises(RuntimeError, match="not ours to cut"):
            host.cut()


def test_a_command_runs_as_its_user_with_a_clean_environment(
    hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the test")
    host = hosts[0]
    said = host.run(["sh", "-c", "id -un; id -Gn; hostname; pwd; env"], user=USER).stdout.splitlines()
    assert said[:4] == [USER, USER, "n1", "/"]
    assert f"HOME={USER_HOME}" in said
    assert not any(line.startswith("SECRET") for line in said)
    process = host.exec(
        ["sh", "-c", "pwd; echo $COLOUR"], env={"COLOUR": "red"}, cwd="/etc", stdout=subprocess.PIPE
    )
    assert process.communicate()[0] == b"/etc\nred\n"
    host.run(["touch", f"{USER_HOME}/mine"], user=USER)
    assert (host.user_home / "mine").exists()
    assert not Path(USER_HOME).exists()


def test_python_and_the_checkout_are_there_for_the_user(hosts: list[Host]) -> None:
    said = hosts[0].run(
        [sys.executable, "-c", "import cronkeeper.common.model as m; print(m.__name__)"], user=USER
    )
    assert said.stdout == "cronkeeper.common.model\n"


def test_a_power_cut_takes_all_down_and_the_disk_survives_it(hosts: list[Host]) -> None:
    host = hosts[0]
    job = host.exec(["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & wait"], stdin=subprocess.DEVNULL)
    space = _link(f"/proc/{host.pid}/ns/pid")
    wait_until(lambda: len(_processes_in(space)) >= 4)  # init, cron, the shell, sleep
    host.run(["sh", "-c", f"echo kept > {USER_HOME}/file; echo lost > /run/file"])
    host.kill()
    job.wait()
    assert _processes_in(space) == []
    host.start()
    assert host.run(["cat", f"{USER_HOME}/file"]).stdout == "kept\n"
    assert host.run(["cat", "/run/file"], check=False).returncode == 1
    assert _reaches(host, hosts[1])


def test_a_cable_that_is_pulled_means_silence_until_it_is_plugged_in_again(hosts: list[Host]) -> None:
    first, second = hosts
    assert _reaches(first, second)
    second.cut()
    assert not _reaches(first, second)
    second.heal()
    wait_until(lambda: _reaches(first, second))


def test_cron_can_be_stopped_killed_and_started(hosts: list[Host]) -> None:
    host = hosts[0]
    for end in (host.stop_cron, host.kill_cron):
        assert host.run(["pgrep", "-x", "cron"]).stdout
        end()
        assert host.run(["pgrep", "-x", "cron"], check=False).returncode == 1
        host.start_cron()
    assert len(host.run(["pgrep", "-x", "cron"]).stdout.split()) == 1


def test_a_command_can_be_signalled_and_dies_with_what_started_it(hosts: list[Host]) -> None:
    process = hosts[0].exec(
        ["sh", "-c", "trap 'exit 7' TERM; echo up; sleep 1000 & wait"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    os.kill(child_of(process.pid), signal.SIGTERM)
    assert process.wait() == 7
    process.stdout.close()
    process = hosts[0].exec(["sleep", "1000"])
    inner = Path(f"/proc/{child_of(process.pid)}")
    wait_until(lambda: (inner / "comm").read_text() == "sleep\n")
    process.kill()
    process.wait()
    wait_until(lambda: not inner.exists())


def test_a_server_on_the_hub_is_reached_by_hosts_and_by_a_test_that_enters_it(
    network: Network, hosts: list[Host], tmp_path: Path
) -> None:
    server = ZooKeeper(tmp_path / "zookeeper", "10.77.0.1", prefix=network.prefix)
    server.start()
    ask = f"import socket; socket.create_connection(({server.host!r}, {server.port}), 5)"
    hosts[0].run([sys.executable, "-I", "-c", ask], user=USER)
    own = _link("/proc/thread-self/ns/net")
    with in_namespace(network.namespace):
        link = socket.create_connection((server.host, server.port), timeout=5)
    assert _link("/proc/thread-self/ns/net") == own
    with link:
        link.sendall(b"ruok")
        assert link.recv(100) == b"imok"
    server.stop()


def test_a_room_has_an_address_and_a_cable_and_is_gone_with_its_network(tmp_path: Path) -> None:
    with Network() as network:
        room = Room(network, "db1", "10.77.0.141")
        other = Room(network, "db2", "10.77.0.142")
        server = ZooKeeper(tmp_path / "zookeeper", room.ip, prefix=room.prefix)
        server.start()
        try:
            assert _answers(other, server)
            room.cut()
            assert (room.is_cut, other.is_cut) == (True, False)
            assert not _answers(other, server)
            assert _answers(room, server)
            room.heal()
            wait_until(lambda: _answers(other, server))
        finally:
            server.kill()
        namespace = room.namespace
    assert not namespace.exists()


def test_what_root_starts_on_a_host_goes_by_the_hosts_clock(network: Network, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    host = Host(network, "n1", "10.77.0.11", tmp_path / "n1", clock)
    host.start()
    ask = "import time; print(time.time(), time.monotonic())"

    def ahead(user: str) -> float:
        said = host.run([sys.executable, "-I", "-S", "-c", ask], user=user).stdout.split()
        assert abs(float(said[1]) - time.monotonic()) < 5
        return float(said[0]) - time.time()

    assert abs(ahead("root")) < 5
    for seconds in (1000, -1000.5, 0):
        clock.skew(seconds)
        assert clock.offset == seconds
        assert abs(ahead("root") - seconds) < 5
        assert abs(ahead(USER)) < 5


def test_a_host_that_was_stopped_runs_nothing_until_it_goes_on(hosts: list[Host]) -> None:
    host = hosts[0]
    count = host.exec(["sh", "-c", "while :; do echo; sleep 0.01; done"], stdout=subprocess.PIPE)
    assert count.stdout is not None
    stop_all(host.pids)
    assert all(is_stopped(pid) for pid in host.pids())
    assert len(host.cron_pids()) == 1
    send(host.pids(), signal.SIGCONT)
    wait_until(lambda: not any(is_stopped(pid) for pid in host.pids()))
    stop_all(host.pids)
    host.kill()
    count.stdout.close()


def test_a_host_is_killed_though_what_holds_its_commands_hears_late_that_they_were_stopped(
    hosts: list[Host],
) -> None:
    for _ in range(5):
        held = hosts[0].exec(["sleep", "1000"])
        inner = child_of(held.pid)
        for pid in (held.pid, inner):
            os.kill(pid, signal.SIGSTOP)
            wait_until(partial(is_stopped, pid))
        hosts[0].kill()
        hosts[0].start()


def test_what_waits_after_vfork_for_a_child_that_was_stopped_counts_as_stopped() -> None:
    vfork = "import ctypes, os, time; ctypes.CDLL(None).vfork() or (time.sleep(1000), os._exit(0))"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", vfork], start_new_session=True) as process:
        wait_until(lambda: len(in_group(process.pid)) == 2)
        stop_all(lambda: in_group(process.pid))
        os.killpg(process.pid, signal.SIGKILL)


def test_two_networks_have_the_same_addresses_and_do_not_meet(tmp_path: Path) -> None:
    with Network() as one, Network() as other:
        mine, theirs = (
            Host(net, "n1", "10.77.0.11", tmp_path / name) for net, name in ((one, "a"), (other, "b"))
        )
        lonely = Host(other, "n2", "10.77.0.12", tmp_path / "c")
        for host in (mine, theirs, lonely):
            host.start()
        assert _reaches(theirs, lonely)
        assert not _reaches(mine, lonely)


def test_nothing_is_left_of_a_network_that_was_closed(tmp_path: Path) -> None:
    before = _machine()
    with Network() as network:
        host = Host(network, "n1", "10.77.0.11", tmp_path / "n1")
        host.start()
        space = _link(f"/proc/{host.pid}/ns/pid")
        hub = network.namespace
        assert _machine() == before
    assert _processes_in(space) == []
    assert not hub.exists()
    assert list(tmp_path.iterdir()) == []
    assert _machine() == before


def test_all_of_it_dies_with_the_process_that_made_it(tmp_path: Path) -> None:
    before = _machine()
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(tmp_path / "n1")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert maker.stdin is not None
    assert maker.stdout is not None
    space = _link(f"/proc/{int(maker.stdout.readline())}/ns/pid")
    maker.kill()
    maker.wait()
    wait_until(lambda: _processes_in(space) == [])
    assert _machine() == before
    maker.stdin.close()
    maker.stdout.close()


def _answers(room: Room, server: ZooKeeper) -> bool:
    """Whether ZooKeeper answers in a room within two seconds."""
    talk = f"exec 3<>/dev/tcp/{server.host}/{server.port} && echo ruok >&3 && cat <&3"
    said = subprocess.run(
        room.command(["timeout", "2", "bash", "-c", talk]), capture_output=True, check=False
    )
    return said.stdout == b"imok"


def _reaches(host: Host, other: Host) -> bool:
    """Whether a packet comes through within a second."""
    knock = f"import socket; socket.create_connection(({other.ip!r}, 9), 1)"
    said = host.run([sys.executable, "-I", "-S", "-c", knock], check=False)
    return "ConnectionRefusedError" in said.stderr


def _link(path: str | Path) -> str:
    """What names a namespace."""
    return str(Path(path).readlink())


def _processes_in(space: str) -> list[int]:
    """The processes in a PID namespace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if _link(folder / "ns/pid") == space:
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or none of ours
            continue
    return found


def _machine() -> tuple[str, str, list[str]]:
    """The machine's mounts, named network namespaces and network links."""
    mounts = Path("/proc/self/mountinfo").read_text()
    names = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    return mounts, names, sorted(link.name for link in Path("/sys/class/net").iterdir())


def _state_of(paths: tuple[Path, ...]) -> list[tuple[str, int, int]]:
    """Every file and folder in there, with its size and the time of its last change."""
    every = [entry for path in paths for entry in (path, *path.rglob("*"))]
    return sorted((str(entry), entry.stat().st_size, entry.stat().st_mtime_ns) for entry in every)
