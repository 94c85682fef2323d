"""The wrapper, for real: who starts, who does not, and what is left of an end that nobody watched."""

import math
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import ME, Host, fifo, out
from support.wait import wait_until

from cronkeeper.cli import client
from cronkeeper.common.clock import uptime
from cronkeeper.worker import lease_file, process
from cronkeeper.worker.process import Account, CannotStart, Processes
from cronkeeper.worker.run_folder import Exit, ProcessId


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.kill_all()


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_and_its_time_are_kept(host: Host, code: int) -> None:
    before = uptime()
    folder = host.run(f"exit {code}")
    assert folder.exit is not None
    assert folder.started is not None
    assert folder.exit.code == code
    assert before - 0.02 <= folder.started.uptime <= folder.exit.uptime <= uptime()
    assert host.processes.count() == 0


@pytest.mark.parametrize(("command", "code"), [("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_a_command_that_a_signal_killed_has_the_shells_code_for_that(
    host: Host, command: str, code: int
) -> None:
    found = host.run(command).exit
    assert found is not None
    assert found.code == code


def test_a_command_that_does_not_exist_ends_with_127(host: Host) -> None:
    folder = host.run("/no/such/command")
    assert folder.exit is not None
    assert folder.exit.code == 127
    assert "not found" in out(folder, "stderr")


def test_what_the_command_writes_lies_in_the_folder(host: Host) -> None:
    folder = host.run("echo to out; echo to err >&2")
    assert (out(folder), out(folder, "stderr")) == ("to out\n", "to err\n")


def test_the_command_gets_crons_environment_its_token_and_nothing_of_the_daemons(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONKEEPER_SQL_URL", "a secret")
    folder = host.run("env; pwd")
    lines = out(folder).splitlines()
    assert lines[-1] == ME.home
    environment = dict(line.split("=", 1) for line in lines[:-1])
    assert environment.pop("PWD", None) is not None
    assert environment == {
        "HOME": ME.home,
        "LOGNAME": ME.name,
        "USER": ME.name,
        "SHELL": "/bin/sh",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "CRONKEEPER_JOB_ID": "1",
        "CRONKEEPER_RUN_ID": folder.plan.run_id,
        "CRONKEEPER_TICK": "2026-03-01T12:00:00Z",
        "CRONKEEPER_ATTEMPT": "1",
        "CRONKEEPER_FENCING_TOKEN": "1.1.1",
    }


def test_no_variable_of_a_run_is_one_that_the_command_line_reads(host: Host) -> None:
    folder = host.run("env")
    names = {line.partition("=")[0] for line in out(folder).splitlines()}
    assert not names & {client.URL_VARIABLE, client.TOKEN_VARIABLE, client.TOKEN_FILE_VARIABLE}


def test_a_run_by_hand_has_an_empty_tick(host: Host) -> None:
    folder = host.start('echo "[$CRONKEEPER_TICK]"', tick=None)
    host.await_end(folder)
    assert out(folder) == "[]\n"


def test_the_command_is_in_a_group_of_its_own_without_input_and_with_the_usual_umask(host: Host) -> None:
    folder = host.run("cat; umask; cut -d' ' -f5,6 /proc/self/stat")
    assert folder.started is not None
    wrapper = folder.started.process.pid
    assert out(folder).splitlines() == ["0022", f"{wrapper} {wrapper}"]


def test_the_daemon_may_open_more_files_than_its_jobs(host: Host, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        host.processes = Processes(host.lease)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert out(host.run("ulimit -S -n; ulimit -H -n")).split() == ["200", str(hard)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("left", [float("-inf"), -1.0, 0.0])
def test_past_the_leases_end_nothing_is_started(host: Host, left: float) -> None:
    host.renew(left)
    folder = host.run("echo started")
    assert (folder.started, folder.exit, out(folder)) == (None, None, "")


def test_without_a_lease_nothing_is_started(host: Host) -> None:
    host.lease.unlink()
    assert host.run("echo started").started is None


def test_while_the_lease_lasts_runs_are_started(host: Host) -> None:
    host.renew(60.0)
    assert host.run("true").exit is not None


@pytest.mark.parametrize("installed", [None, "echo the next version"])
def test_a_version_that_is_being_installed_is_nothing_to_a_daemon_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str | None
) -> None:
    wrapper = tmp_path / "installed/wrapper.sh"
    wrapper.parent.mkdir()
    wrapper.write_bytes(process.WRAPPER.read_bytes())
    monkeypatch.setattr(process, "WRAPPER", wrapper)
    host = Host(tmp_path)
    wrapper.unlink()
    if installed is not None:
        wrapper.write_text(installed)
    folder = host.run("echo mine")
    assert out(folder) == "mine\n"
    assert folder.exit is not None


def test_of_many_wrappers_of_one_run_exactly_one_starts(host: Host) -> None:
    folder = host.folder("echo started")
    for _ in range(8):
        host.processes.start(folder, ME, None)
    host.await_end(*[folder] * 8)
    assert out(folder) == "started\n"
    assert folder.exit is not None


def test_a_run_that_was_given_up_is_not_started(host: Host) -> None:
    folder = host.folder("echo started")
    assert folder.give_up()
    host.processes.start(folder, ME, None)
    host.await_end(folder)
    assert (out(folder), folder.exit) == ("", None)


def test_another_daemon_adopts_a_run_and_learns_its_end(host: Host) -> None:
    folder = host.start("read line < fifo; exit 7".replace("fifo", str(fifo(host.path))))
    started = wait_until(lambda: folder.started)
    another = Processes(host.lease)
    assert another.adopt(folder, started.process)
    assert (another.count(), another.ended()) == (1, [])
    (host.path / "fifo").write_text("go on\n")
    host.await_end(folder, processes=another)
    assert folder.exit is not None
    assert folder.exit.code == 7
    assert not another.adopt(folder, started.process)
    host.await_end(folder)


def test_a_process_of_the_same_number_and_another_age_is_not_adopted(host: Host) -> None:
    folder = host.folder("true")
    assert not host.processes.adopt(folder, ProcessId(os.getpid(), 1))
    assert not host.processes.adopt(folder, ProcessId(2**22, 1))
    assert host.processes.count() == 0


def test_the_exit_code_is_kept_while_no_daemon_runs(host: Host) -> None:
    """A daemon that starts the run and dies: its child becomes an orphan."""
    folder = host.folder("read line < fifo; exit 5".replace("fifo", str(fifo(host.path))))
    daemon = os.fork()
    if daemon == 0:
        host.processes.start(folder, ME, None)
        os._exit(0)
    os.waitpid(daemon, 0)
    wait_until(lambda: folder.started)
    (host.path / "fifo").write_text("go on\n")
    assert wait_until(lambda: folder.exit).code == 5


def test_a_hangup_or_sigterm_to_the_wrapper_does_not_lose_the_exit_code(host: Host) -> None:
    folder = host.start("read line < fifo; exit 4".replace("fifo", str(fifo(host.path))))
    started = wait_until(lambda: folder.started)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(started.process.pid, number)
    (host.path / "fifo").write_text("go on\n")
    host.await_end(folder)
    assert isinstance(folder.exit, Exit)
    assert folder.exit.code == 4


def test_a_script_is_run_as_the_file_it_is(host: Host) -> None:
    script = host.path / "script"
    script.write_text("#!/bin/sh\necho run by $0\n")
    script.chmod(0o700)
    folder = host.folder("unused")
    host.processes.start(folder, ME, script)
    host.await_end(folder)
    assert out(folder) == f"run by {script}\n"


def test_a_user_whom_the_node_does_not_know_is_said() -> None:
    with pytest.raises(CannotStart, match="this node has no user 'nobody-here'"):
        Account.named("nobody-here")


def test_a_folder_that_is_gone_is_said(host: Host) -> None:
    folder = host.folder("true")
    folder.remove()
    with pytest.raises(CannotStart, match="could not be started: No such file"):
        host.processes.start(folder, ME, None)
    assert host.processes.count() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of others")
def test_root_runs_a_command_as_another_user(host: Host) -> None:
    nobody = Account.named("nobody")
    folder = host.folder('id -un; echo "$HOME $USER"')
    host.processes.start(folder, nobody, None)
    host.await_end(folder)
    assert out(folder).splitlines() == ["nobody", f"{nobody.home} nobody"]


def test_the_lease_file_says_the_deadline_in_whole_seconds_of_the_uptime(host: Host) -> None:
    before = uptime()
    host.renew(10.0, 55.0)
    start, stop = map(int, host.lease.read_text().split())
    assert int(before + 10) <= start <= uptime() + 10
    assert int(before + 55) <= stop <= uptime() + 55
    for left, text in [(math.inf, "never"), (-math.inf, "0"), (-1e9, "0")]:
        host.renew(left)
        assert host.lease.read_text().split() == [text, "never"]


def test_a_worker_that_has_renewed_nothing_yet_leaves_it_when_runs_must_have_ended(host: Host) -> None:
    host.renew(10.0, 55.0)
    before = lease_file.read(host.lease)
    lease_file.write(host.lease, lease_file.Deadlines(-math.inf, -math.inf))
    assert lease_file.read(host.lease) == lease_file.Deadlines(0.0, before.stop)


def test_a_lease_of_an_older_version_has_nothing_stopped(host: Host) -> None:
    host.lease.write_text("17\n")
    assert lease_file.read(host.lease) == lease_file.Deadlines(17.0, math.inf)
