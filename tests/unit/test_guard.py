"""The guard, as the program that it is: it starts its child again, and neither outlives the other."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.wait import wait_until

from cronkeeper.worker import guard

DIES_WITH_GUARD = "from cronkeeper.worker.guard import die_with_guard; die_with_guard(); import signal; "
SAY_PID = 'echo $$ >> "$0"; '

Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a guard over a command; what is still there at the end is killed."""
    begun: list[subprocess.Popen[str]] = []
    heeded = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started the tests may have had it ignored

    def start(*command: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
        words = [*before, sys.executable, "-I", "-S", guard.__file__, *command]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
        begun.append(process)
        return process

    yield start
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
    signal.signal(signal.SIGHUP, heeded)


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_crashes_is_started_again(begin: Begin, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    process = begin(
        "/bin/sh", "-c", SAY_PID + 'test "$(wc -l < "$0")" -lt 3 || exit 0; kill -9 $$', str(path)
    )
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert len(set(pids(path))) == 3
    assert said.count("is started again") == 2
    assert "(-9)" in said


@pytest.mark.parametrize("code", [0, guard.REFUSED])
def test_a_child_that_is_done_or_cannot_work_as_asked_is_not_started_again(
    begin: Begin, tmp_path: Path, code: int
) -> None:
    path = tmp_path / "pids"
    process = begin("/bin/sh", "-c", SAY_PID + f"exit {code}", str(path))
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert (len(pids(path)), said) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_guard_that_is_told_to_end_lets_its_child_end_first(
    begin: Begin, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "pids"
    command = (
        f'trap "echo told >> {tmp_path}/told; exit 3" TERM; {SAY_PID} sleep 60 2> /dev/null & wait; exit 4'
    )
    process = begin("/bin/sh", "-c", command, str(path))
    wait_until(lambda: pids(path))
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (3, "")
    assert (tmp_path / "told").read_text() == "told\n"


HEARS_SIGHUP = """
import os, signal, sys
from cronkeeper.common.waker import HungUp, Waker, stop_on_signals
pids, said, gate = sys.argv[1:]
print(os.getpid(), file=open(pids, "a"))
open(gate).read()
waker = Waker()
stop, hung_up = stop_on_signals(waker), HungUp(waker)
while not stop.is_set():
    waker.wait(1)
    if hung_up():
        print("read", file=open(said, "a"))
"""


def test_a_guard_passes_sighup_on_also_to_a_daemon_that_is_not_ready_for_it(
    begin: Begin, tmp_path: Path
) -> None:
    path, said, gate = tmp_path / "pids", tmp_path / "said", tmp_path / "gate"
    os.mkfifo(gate)
    process = begin(sys.executable, "-W", "ignore", "-c", HEARS_SIGHUP, str(path), str(said), str(gate))
    wait_until(lambda: pids(path))
    process.send_signal(signal.SIGHUP)
    gate.write_text("go on")
    wait_until(lambda: said.exists() and said.read_text() == "read\n")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: said.read_text() == "read\nread\n")
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=10)
    assert (process.returncode, complaints) == (0, "")
    assert len(pids(path)) == 1


UP = """
import os, signal, sys
from cronkeeper.common.waker import Waker, stop_on_signals
waker = Waker()
stop = stop_on_signals(waker, signal.SIGHUP)
print(os.getpid(), file=open(sys.argv[1], "a"))
while not stop.is_set():
    waker.wait(0.05)
"""


def test_a_terminal_that_is_closed_ends_a_daemon_that_heeds_it(begin: Begin, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    process = begin(sys.executable, "-W", "ignore", "-c", UP, str(path))
    wait_until(lambda: pids(path))
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=10)
    assert (process.returncode, len(pids(path))) == (0, 1)


def test_with_nohup_it_ends_neither_guard_nor_daemon(begin: Begin, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    process = begin(sys.executable, "-W", "ignore", "-c", UP, str(path), before=["nohup"])
    wait_until(lambda: pids(path))
    for pid in (process.pid, *pids(path)):
        os.kill(pid, signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert (process.returncode, len(pids(path))) == (0, 1)


def test_a_guard_that_is_told_to_end_between_two_children_starts_no_more(
    begin: Begin, tmp_path: Path
) -> None:
    path = tmp_path / "pids"
    process = begin("/bin/sh", "-c", SAY_PID + "exit 1", str(path))
    assert process.stderr is not None
    assert "is started again" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 1
    assert len(pids(path)) == 1


def test_the_child_dies_with_its_guard(begin: Begin, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    code = DIES_WITH_GUARD + f"import os; open({str(path)!r}, 'w').write(str(os.getpid())); signal.pause()"
    process = begin(sys.executable, "-c", code)
    (child,) = wait_until(lambda: pids(path))
    process.kill()
    wait_until(lambda: not alive(child))


def test_a_child_whose_guard_is_gone_already_ends_at_once() -> None:
    code = DIES_WITH_GUARD + "print('goes on')"
    environment = {**os.environ, guard.VARIABLE: "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=10
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_without_a_guard_a_daemon_runs_by_itself() -> None:
    code = DIES_WITH_GUARD + "print('goes on')"
    environment = {name: value for name, value in os.environ.items() if name != guard.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=10
    )
    assert (done.returncode, done.stdout) == (0, b"goes on\n")
