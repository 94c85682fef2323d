"""What a file of 1 GiB costs on its way into the store: time, and the memory of the API's process."""

import http.client
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.cluster import Cluster
from testbed.hosts import child_of

from bench.measure import Row, memory, show
from bench.sites import embedded

MIB = 1024 * 1024
SIZE = 1024 * MIB
HEADER = ["seconds", "RSS MB", "after", "at most"]


@dataclass(frozen=True)
class Api:
    """Where to send files, and the process that takes them in."""

    address: str
    token: str
    pid: int

    def put(self, file: Path) -> None:
        """Send a file as it lies on the disk."""
        connection = http.client.HTTPConnection(self.address, timeout=600, blocksize=MIB)
        with file.open("rb") as body:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Length": str(file.stat().st_size)}
            connection.request("PUT", f"/artifacts?filename={file.name}", body, headers)
            answer = connection.getresponse()
            said = answer.read()
        connection.close()
        assert answer.status == 201, said


def run(home: Path, install: str, runs: int) -> None:
    """Measure, and print."""
    ours, theirs = [], []
    with _api(home, install) as api:
        small = home / "small"
        small.write_bytes(b"once it is stored, all that the API needs is loaded")
        api.put(small)
        for number in range(runs):
            file = home / f"file-{number}"
            _fill(file)
            theirs.append(_copy(file))
            ours.append(_upload(api, file))
            file.unlink()
    show("1 GiB", HEADER, {"dd conv=fsync": theirs, "PUT /artifacts": ours})


@contextmanager
def _api(home: Path, install: str) -> Iterator[Api]:
    if install == "embedded":
        with embedded(home) as site:
            yield Api(site.url.removeprefix("http://"), site.token, site.daemon)
    else:
        with Cluster(home / "cluster", nodes=0, managers=1) as servers:
            yield Api(servers.url.removeprefix("http://"), servers.admin_token, child_of(servers.api.pid))


def _fill(file: Path) -> None:
    """Bytes that no store has yet, on the disk before anything is measured."""
    with file.open("wb") as target:
        for _ in range(SIZE // MIB):
            target.write(os.urandom(MIB))
        os.fsync(target.fileno())


def _copy(file: Path) -> Row:
    copy = file.with_suffix(".copy")
    began = time.monotonic()
    subprocess.run(
        ["dd", f"if={file}", f"of={copy}", "bs=1M", "conv=fsync"], check=True, stderr=subprocess.DEVNULL
    )
    took = time.monotonic() - began
    copy.unlink()
    return [took, None, None, None]


def _upload(api: Api, file: Path) -> Row:
    before, _ = memory(api.pid)
    Path(f"/proc/{api.pid}/clear_refs").write_text("5")  # VmHWM begins anew (proc(5))
    began = time.monotonic()
    api.put(file)
    took = time.monotonic() - began
    after, _ = memory(api.pid)
    status = Path(f"/proc/{api.pid}/status").read_text()
    most = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert most is not None
    return [took, before, after, float(most[1]) / 1024]
