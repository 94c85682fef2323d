"""The facts of the machine that the tests run on, against what other programs say of it."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cronkeeper.common.clock import boot_id
from cronkeeper.common.facts import Crond
from cronkeeper.worker import machine


def test_a_machine_is_what_other_programs_say_of_it() -> None:
    now = datetime.now(UTC)
    found = machine.machine(now)
    uname = subprocess.run(["uname", "-nrm"], capture_output=True, text=True, check=True).stdout.split()
    assert [found.hostname, found.kernel, found.architecture] == uname
    assert found.cores == int(subprocess.run(["nproc"], capture_output=True, check=True).stdout)
    (line,) = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")]
    assert found.memory == int(line.split()[1]) * 1024
    assert found.os == platform.freedesktop_os_release()["PRETTY_NAME"]
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert now - found.booted_at == pytest.approx(timedelta(seconds=uptime), abs=timedelta(seconds=5))


def test_a_disk_has_room_that_others_than_root_may_take(tmp_path: Path) -> None:
    found, usage = machine.disk(tmp_path), shutil.disk_usage(tmp_path)
    assert found.total == usage.total
    assert 0 <= found.free <= found.total


def test_a_home_is_known_by_its_boot_and_its_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    before = machine.boot_of(one)
    assert before.startswith(boot_id())
    assert machine.boot_of(other) != before
    (one / "file").touch()
    one.rename(tmp_path / "moved")
    assert machine.boot_of(tmp_path / "moved") == before


@pytest.mark.parametrize(
    ("name", "program", "kind"),
    [
        ("cron", b"\x7fELF... vixie ...", Crond.DEBIAN),
        ("crond", b"\x7fELF... cronie 1.6.1 ...", Crond.CRONIE),
        ("cron", b"\x7fELF... cronie 1.7.2 ...", Crond.CRONIE),
        ("crond", b"\x7fELF... BusyBox v1.35 ...", Crond.BUSYBOX),
        ("crond", b"\x7fELF...", Crond.OTHER),
        ("crond", b"", Crond.OTHER),
    ],
)
def test_the_kind_of_cron_is_read_from_its_program(name: str, program: bytes, kind: Crond) -> None:
    assert machine._kind(name, program) is kind


def test_the_cron_of_this_machine_is_debians() -> None:
    program = shutil.which("cron", path="/usr/sbin:/usr/bin")
    assert program is not None
    assert machine._kind("cron", Path(program).read_bytes()) is Crond.DEBIAN


def test_processes_of_this_machine_are_seen(tmp_path: Path) -> None:
    assert os.getpid() in machine._pids()
    assert machine._name(os.getpid()) == Path("/proc/self/comm").read_text().strip()
    assert machine._name(2**22 + 1) == ""
