"""`cronkeeper up` and `down` as a person meets them: starting, stopping, and what can be in the way."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.installs import FOREIGN, Embedded
from support.wait import wait_until
from testbed.cluster import CRONKEEPER
from testbed.hosts import USER, USER_HOME, Host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(None, "up", "", tmp_path_factory.mktemp("up") / "host") as host:
        yield host


@pytest.fixture
def up(host: Host, tmp_path: Path) -> Iterator[Embedded]:
    embedded = Embedded(host, USER, root_home=tmp_path)
    embedded.seed_foreign_lines()
    embedded.start()
    yield embedded
    embedded.stop()


def said(host: Host, *words: str | Path, user: str = USER) -> tuple[int, str]:
    """What the command says to a person, and its exit code."""
    done = host.run([*CRONKEEPER, *words], user, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def crontab(host: Host) -> str:
    return host.run(["crontab", "-l"], USER).stdout


def test_the_ready_message_says_where_the_token_lies_and_which_crontab_and_user(up: Embedded) -> None:
    text = up.log.read_text()
    assert f"cronkeeper is ready on http://127.0.0.1:{up.port}" in text
    assert f"the jobs stand in the crontab of {USER}" in text
    assert f"jobs run as {USER}" in text
    assert f"{USER_HOME}/var/admin.token" in text
    assert (up.home / "admin.token").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_named_with_a_way_out(up: Embedded, host: Host) -> None:
    code, text = said(host, "up", "--home", USER_HOME / "other", "--port", str(up.port))
    assert code == 78
    assert (
        text
        == f"cronkeeper: port {up.port} on 127.0.0.1 is taken: choose another one, such as PORT={up.port + 1}"
    )


def test_a_folder_in_use_is_named_with_a_way_out(up: Embedded, host: Host) -> None:
    code, text = said(host, "up", "--home", USER_HOME / "var", "--port", str(_free_port()))
    assert code == 78
    assert "is in use by process" in text
    assert "make down" in text


def test_a_folder_that_can_not_be_written_is_named(host: Host) -> None:
    code, text = said(host, "up", "--home", "/proc/nowhere")
    assert code == 78
    assert text.startswith("cronkeeper: /proc/nowhere can't be used: ")


def test_a_damaged_tree_log_is_not_guessed_at(host: Host) -> None:
    home = host.user_home / "damaged"
    said(host, "up", "--home", "/proc/nowhere")
    host.run(["mkdir", str(USER_HOME / "damaged")], USER)
    host.run(["sh", "-c", f"head -c 4096 /dev/urandom > {USER_HOME}/damaged/tree.log"], USER)
    code, text = said(host, "up", "--home", USER_HOME / "damaged", "--port", str(_free_port()))
    assert code == 78, text
    assert "tree.log" in text
    assert (home / "tree.log").stat().st_size == 4096


def test_down_with_nothing_there_says_so(host: Host) -> None:
    assert said(host, "down", "--home", USER_HOME / "never") == (
        0,
        f"nothing was ever started in {USER_HOME}/never",
    )


def test_down_takes_our_lines_out_and_leaves_the_others(up: Embedded, host: Host) -> None:
    up.client.create(type="command", command="true", schedule="0 0 1 1 *")
    wait_until(lambda: "# cronkeeper " in crontab(host))
    code, text = said(host, "down", "--home", USER_HOME / "var")
    assert (code, text) == (0, "stopped; jobs that run go on, and the next start adopts them")
    assert crontab(host) == FOREIGN
    up.await_end()
    up.start()


def test_down_after_a_kill_takes_our_lines_out(up: Embedded, host: Host) -> None:
    up.client.create(type="command", command="true", schedule="0 0 1 1 *")
    wait_until(lambda: "# cronkeeper " in crontab(host))
    job = up.client.create(type="command", command=f"until [ -e {USER_HOME}/go0 ]; do sleep 0.1; done")
    run = up.client.call("POST", f"/jobs/{job['id']}/runs").json
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "running")
    up.kill()
    assert "# cronkeeper " in crontab(host)
    code, text = said(host, "down", "--home", USER_HOME / "var")
    assert (code, "1 running job goes on, and the next start adopts it" in text) == (0, True), text
    assert crontab(host) == FOREIGN
    up.start()
    (host.user_home / "go0").touch()
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "succeeded")


def test_a_folder_of_another_user_is_left_to_that_one_also_by_root(up: Embedded, host: Host) -> None:
    up.stop()
    code, text = said(host, "up", "--home", USER_HOME / "var", user="root")
    assert (code, f"{USER_HOME}/var is {USER}'s: start it as that user" in text) == (78, True), text
    up.start()


def test_ctrl_c_reaches_guard_and_daemon_and_both_end(up: Embedded) -> None:
    for pid in (up.daemon, up.guard):
        os.kill(pid, signal.SIGINT)
    up.await_end()
    up.start()


def test_a_running_job_outlives_a_stop_and_the_next_start_reports_its_end(up: Embedded, host: Host) -> None:
    job = up.client.create(type="command", command=f"until [ -e {USER_HOME}/go ]; do sleep 0.1; done; exit 3")
    run = up.client.call("POST", f"/jobs/{job['id']}/runs").json
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "running")
    text = up.stop()
    assert "1 running job goes on, and the next start adopts it" in text
    up.start()
    assert up.client.get(f"/runs/{run['id']}")["state"] == "running"
    (host.user_home / "go").touch()
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "failed")
    assert up.client.get(f"/runs/{run['id']}")["exit_code"] == 3


def test_an_end_while_nothing_ran_is_reported_by_the_next_start(up: Embedded, host: Host) -> None:
    job = up.client.create(
        type="command", command=f"until [ -e {USER_HOME}/go2 ]; do sleep 0.1; done; echo out"
    )
    run = up.client.call("POST", f"/jobs/{job['id']}/runs").json
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "running")
    up.kill()
    (host.user_home / "go2").touch()
    wait_until(lambda: host.run(["pgrep", "-f", "go2"], check=False).returncode == 1)
    up.start()
    wait_until(lambda: up.client.get(f"/runs/{run['id']}")["state"] == "succeeded")
    assert up.client.output(run["id"]) == "out\n"


def test_ctrl_c_stops_it_as_down_does(host: Host, tmp_path: Path) -> None:
    embedded = Embedded(host, USER, root_home=tmp_path)
    embedded.start()
    os.kill(embedded.guard, signal.SIGINT)
    embedded.await_end()
    assert "cronkeeper has stopped" in embedded.log.read_text()


def test_a_daemon_that_dies_is_started_again_by_its_guard(up: Embedded) -> None:
    before = up.daemon
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.log.read_text().count("cronkeeper is ready") == 2, 20)
    assert up.daemon != before


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("PYTHON", "python9", "there is no python9: install Python 3.11 or later"),
        ("PYTHON", "{old}", "is too old: Python 3.11 or later is needed"),
        ("PYTHON", "{bare}", "install its venv module"),
    ],
)
def test_make_says_what_is_missing_in_one_line(tmp_path: Path, variable: str, value: str, text: str) -> None:
    old = _program(tmp_path / "old", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    bare = _program(tmp_path / "bare", 'case "$*" in *venv*) exit 1;; *) exec python3 "$@";; esac')
    root = tmp_path / "clone"
    (root / "deploy").mkdir(parents=True)
    source = Path(__file__).parents[2]
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt", "deploy/venv.sh"):
        (root / name).write_bytes((source / name).read_bytes())
    for name in ("api", "cli", "common", "manager", "worker"):
        (root / name).mkdir()
    done = subprocess.run(
        ["sh", root / "deploy/venv.sh", "run"],
        env={**os.environ, variable: value.format(old=old, bare=bare)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
