"""The folder of an embedded install has one user at a time; one that is dying is waited for."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronkeeper.cli.home import Home
from cronkeeper.common.errors import Conflict

HOLDER = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(sys.argv[2])
    lock.flush()
    print(flush=True)
    sys.stdin.read()
"""
Holder = subprocess.Popen[bytes]


@pytest.fixture
def guard() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
        return process.pid


@pytest.fixture
def holder(tmp_path: Path, guard: int) -> Iterator[Holder]:
    """Has the folder still, though its guard is gone; ends when its input does."""
    command = [sys.executable, "-I", "-S", "-c", HOLDER, str(tmp_path / "lock"), str(guard)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_a_daemon_that_dies_after_its_guard_is_waited_for(tmp_path: Path, holder: Holder) -> None:
    assert holder.stdin is not None
    timer = threading.Timer(0.5, holder.stdin.close)
    timer.start()
    Home(tmp_path).take()
    timer.join()
    assert (tmp_path / "lock").read_text() == f"{os.getppid()}\n"


def test_one_whose_guard_lives_is_not_waited_for(tmp_path: Path, holder: Holder) -> None:
    (tmp_path / "lock").write_text(str(os.getpid()))
    with pytest.raises(Conflict, match=f"in use by process {os.getpid()}: stop that with `make down`"):
        Home(tmp_path).take()
