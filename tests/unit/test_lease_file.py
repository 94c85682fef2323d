"""The lease on the disk: whole whenever it is read, and renewed also where the disk is full."""

import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cronkeeper.worker import lease_file
from cronkeeper.worker.lease_file import Deadlines

ON_A_FULL_DISK = """
import math, sys
from pathlib import Path
from cronkeeper.worker import lease_file
home = Path(sys.argv[1])
lease = home / "lease"
lease.write_text("17\\n70\\n") if sys.argv[2] == "old" else None
for start in (100, 200):
    lease_file.write(lease, lease_file.Deadlines(start, start + 55))
with (home / "all").open("wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        pass
for start in range(300, 310):
    lease_file.write(lease, lease_file.Deadlines(start, start + 55))
    print(lease_file.read(lease).stop)
"""


@pytest.mark.parametrize("before", ["old", "none"])
def test_it_is_renewed_on_a_full_disk(tmp_path: Path, before: str) -> None:
    mounted = 'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["sh", "-c", mounted, "sh", str(tmp_path), sys.executable, ON_A_FULL_DISK, before]
    unshare = ["unshare", "--mount", *([] if _is_root() else ["--map-root-user"])]
    done = subprocess.run([*unshare, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert [float(line) for line in done.stdout.split()] == [355.0 + count for count in range(10)]


def _is_root() -> bool:
    return os.geteuid() == 0


def test_whoever_reads_it_while_it_is_renewed_reads_the_whole_of_one_renewal(
    tmp_path: Path,
) -> None:
    lease, over = tmp_path / "lease", threading.Event()
    lease_file.write(lease, Deadlines(900.0, 10_900.0))

    def renew() -> None:
        for start in range(901, 1_300):
            lease_file.write(lease, Deadlines(start, start + 10_000.0))
            over.wait(0.001)
        over.set()

    writer = threading.Thread(target=renew)
    writer.start()
    newest = 900.0  # and who stood still since he opened it may be ahead of the others, by one
    while not over.is_set():
        found = lease_file.read(lease)
        assert found.stop == found.start + 10_000.0
        assert found.start >= newest - 1
        newest = max(newest, found.start)
    writer.join()
    assert lease_file.read(lease).start == 1_299.0


def test_what_it_says_is_as_wide_whatever_it_says(tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    sizes = set()
    for uptime in (-math.inf, 5.0, 10.0**9, math.inf):
        lease_file.write(lease, Deadlines(uptime, uptime))
        sizes.add(lease.stat().st_size)
    assert len(sizes) == 1


def test_where_two_files_cannot_change_their_names_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_file, "_RENAME_EXCHANGE", 1 << 30)  # as on NFS: EINVAL
    lease = tmp_path / "lease"
    for start in (1.0, 2.0, 3.0):
        lease_file.write(lease, Deadlines(start, start + 55.0))
        assert lease_file.read(lease) == Deadlines(start, start + 55.0)
