"""The fence: on a node that is cut off, runs end before others begin them again, and all others go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import Host
from support.samples import plan
from support.wait import wait_until

from cronkeeper.common.clock import uptime
from cronkeeper.common.model import OnNodeLoss, RunState, WhenIsolated
from cronkeeper.worker import fence, guard, lease_file
from cronkeeper.worker.machine import boot_of
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.timeouts import ISOLATED, end_of

RERUN = {"on_node_loss": OnNodeLoss.RERUN, "grace": 1.0}
STOP = {"when_isolated": WhenIsolated.STOP, "grace": 1.0}
FOR_LONG = "sleep 1000"
STUBBORN = "trap '' TERM; while :; do sleep 1; done"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "runs").mkdir()
    host = Host(tmp_path)
    host.runs = tmp_path / "runs"
    yield host
    host.kill_all()
    wait_until(lambda: not host.processes.ended() and host.processes.count() == 0)


def begin(host: Host, command: str = FOR_LONG, **policies: object) -> RunFolder:
    """A run that has begun."""
    folder = host.start(command, policies=policies, boot_id=boot_of(host.path))
    wait_until(lambda: folder.started is not None)
    return folder


def fenced(host: Host) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", guard.FENCE, str(host.path)])


@pytest.mark.parametrize("policies", [RERUN, STOP])
@pytest.mark.parametrize("command", [FOR_LONG, STUBBORN])
def test_what_others_may_begin_again_has_ended_by_then(
    host: Host, policies: dict[str, object], command: str
) -> None:
    folder = begin(host, command, **policies)
    host.renew(-1.0, 3.0)
    process = fenced(host)
    assert process.wait(20) == 0
    ended = folder.exit
    assert ended is not None
    assert ended.uptime < lease_file.read(host.lease).stop + 2.0
    stopped = folder.stopped
    assert stopped is not None
    state, reason = end_of(folder.plan.spec, stopped)
    assert (state, reason.startswith(ISOLATED)) == (RunState.LOST, True)


def test_no_grace_is_left_on_a_machine_that_stood_still_for_so_long(host: Host) -> None:
    begin(host, STUBBORN, on_node_loss=OnNodeLoss.RERUN, grace=30.0)
    host.renew(-60.0, -10.0)
    assert fenced(host).wait(15) == 0


def test_room_is_kept_for_the_note_that_a_run_was_stopped(host: Host) -> None:
    folder = host.folder("true", policies=RERUN)
    assert (folder.path / "stopped").stat().st_size > 100


def test_what_has_ended_is_read_once_however_long_the_fence_looks(host: Host) -> None:
    ended = RunFolder.make(host.runs, plan(boot_id=boot_of(host.path)))
    (ended.path / "exit").write_text("0 1.0\n")
    begin(host, **RERUN)
    host.renew(2.0, 60.0)
    watch = fence.Fence(host.path, host.processes, boot_of(host.path))
    watch.step()
    (ended.path / "exit").unlink()
    (ended.path / "exit").mkdir()  # reading it would fail
    assert watch.step() is not None


def test_of_several_fences_on_one_home_the_last_one_goes_on(host: Host) -> None:
    folder = begin(host, **RERUN)
    host.renew(30.0, 90.0)
    older = []
    for _ in range(3):
        older.append(fenced(host))
        newest = host.path / fence.NEWEST
        before = newest.read_text() if newest.exists() else ""
        wait_until(
            lambda newest=newest, before=before: newest.exists() and newest.read_text() not in ("", before)
        )
    *followed, last = older
    assert [each.wait(20) for each in followed] == [0, 0]
    assert last.poll() is None
    assert folder.exit is None
    host.renew(-1.0, 2.0)
    assert last.wait(20) == 0
    assert folder.stopped is not None


def test_one_that_cannot_say_that_it_has_begun_does_its_work(host: Host) -> None:
    begin(host, **RERUN)
    host.renew(30.0, 60.0)
    (host.path / fence.NEWEST).mkdir()
    watch = fence.Fence(host.path, host.processes, boot_of(host.path))
    watch.take_over()
    assert watch.step() is not None


def test_all_others_go_on_however_long_the_outage(host: Host) -> None:
    folder = begin(host, "sleep 1")
    host.renew(-100.0, -60.0)
    assert fenced(host).wait(20) == 0
    host.await_end(folder)
    assert folder.exit is not None
    assert (folder.exit.code, folder.stopped) == (0, None)


def test_nothing_is_stopped_while_the_lease_is_renewed_and_what_ends_by_itself_ends_the_watch(
    host: Host,
) -> None:
    folder = begin(host, "sleep 4", **RERUN)
    host.renew(2.0, 0.5)
    process = fenced(host)
    until = uptime() + 3.0

    def renewed_long_enough() -> bool:
        host.renew(2.0, 0.5)
        return uptime() > until

    wait_until(renewed_long_enough, 20)
    assert process.poll() is None
    host.renew(60.0, 120.0)
    assert process.wait(20) == 0
    assert folder.exit is not None
    assert folder.exit.code == 0


def test_of_a_run_from_before_a_reboot_nothing_is_signalled(host: Host) -> None:
    folder = host.start(FOR_LONG, policies=RERUN, boot_id="another")
    wait_until(lambda: folder.started is not None)
    host.renew(-1.0, -1.0)
    assert fenced(host).wait(20) == 0
    assert folder.stopped is None


def test_an_embedded_install_stops_nothing(host: Host) -> None:
    begin(host, **RERUN)
    assert fenced(host).wait(20) == 0


def test_a_folder_that_is_just_being_made_is_left_alone(host: Host) -> None:
    made = host.path / "runs" / "1.1.hand-new.1"
    made.mkdir()
    (made / "plan").write_text("{")
    host.renew(-1.0, -1.0)
    assert fence.Fence(host.path, host.processes, boot_of(host.path)).step() is None
    assert made.exists()


DAEMON = """
import os, signal, sys, time
from cronkeeper.worker.guard import die_with_guard, tell_guard
tell_guard(die_with_guard(), sys.argv[1])
{}
"""


@pytest.mark.parametrize(
    "then",
    [
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "time.sleep(1000)",
        "sys.exit()",
    ],
)
def test_the_guard_has_it_done_whatever_has_become_of_the_daemon(host: Host, then: str) -> None:
    folder = begin(host, **RERUN)
    other = begin(host)
    host.renew(-1.0, 4.0)
    command = [sys.executable, "-c", DAEMON.format(then), str(host.path)]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *command], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: folder.exit is not None, 20)
        assert uptime() < lease_file.read(host.lease).stop + 2.0
        assert other.exit is None
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("pipe", [None, "1"])
def test_a_daemon_may_have_a_guard_of_the_version_before(pipe: str | None) -> None:
    variables = {**os.environ, guard.VARIABLE: str(os.getpid())}
    if pipe is not None:
        variables[guard.PIPE] = pipe
    code = "from cronkeeper.worker.guard import die_with_guard; print(die_with_guard())"
    told = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=True)
    assert told.stdout.decode().strip() == str(pipe)


def test_a_guard_tells_a_daemon_of_the_version_before_what_it_knows(tmp_path: Path) -> None:
    code = f"import os; open({str(tmp_path / 'told')!r}, 'w').write(os.environ['CRONKEEPER_GUARD'])"
    command = [sys.executable, "-I", "-S", guard.__file__, sys.executable, "-c", code]
    subprocess.run(command, check=True, timeout=20)
    assert int((tmp_path / "told").read_text()) > 0


def test_a_guard_that_can_start_nothing_just_now_tries_again(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.renew(-1.0, 4.0)
    its = guard._Fence("/no/such/python")
    os.write(its.writes, os.fsencode(host.path) + b"\0")
    its.look()
    its.look()
    assert capfd.readouterr().err.count("the fence can't be started") == 2
    os.close(its.writes)
    os.close(its._reads)
