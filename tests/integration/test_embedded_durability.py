"""What the embedded tree acknowledged is there after a kill -9, whenever it comes."""

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from testbed.server import dying_with_us

from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.tree import Create, Tree

ROUNDS = 8
THREADS = 4

# Each thread commits pairs of nodes, counts them in a third, and prints what was acknowledged. It compacts the
# file as often as it can.
WRITER = """
import os, sys, threading
from pathlib import Path
from cronkeeper.common.coordination import embedded_log
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.coordination.tree import Create, NodeExists, SetData

path, start, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
embedded_log.COMPACT_MIN, embedded_log.COMPACT_GROWTH = 2000, 1.1
server = EmbeddedServer(path)

def write(thread):
    tree = server.connect()
    counter = f"/count-{thread}"
    tree.ensure(counter)
    version = tree.get(counter).version
    for n in range(start, start + 100_000):
        tree.commit([Create(f"/{thread}-{n}-left", b"x" * 50), SetData(counter, str(n).encode(), version),
                     Create(f"/{thread}-{n}-right"), Create(f"/{thread}-{n}-gone", ephemeral=True)])
        version += 1
        os.write(1, f"{thread}-{n}\\n".encode())

for thread in range(threads):
    threading.Thread(target=write, args=(thread,)).start()
"""


def test_every_acknowledged_commit_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "tree.log"
    acknowledged: set[str] = set()
    for round_number in range(ROUNDS):
        acknowledged |= _written_until_killed(path, round_number * 100_000, random.uniform(0.05, 0.6))
        server = EmbeddedServer(path)
        _check(server.connect(), acknowledged)
        server.close()
    assert len(acknowledged) > 100


def _written_until_killed(path: Path, start: int, seconds: float) -> set[str]:
    """Run the writer for some seconds after its first word, and return what it had acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(THREADS)]
    with subprocess.Popen([*dying_with_us(), *command], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        killer = threading.Timer(seconds, writer.kill)
        killer.start()
        lines = [first, *writer.stdout]
        killer.join()
    assert writer.returncode == -signal.SIGKILL
    return {line.strip() for line in lines if line.endswith("\n")}


def _check(tree: Tree, acknowledged: set[str]) -> None:
    names = [name for name in tree.children("/") if not name.startswith("count")]
    pairs = {name.rpartition("-")[0] for name in names}
    assert acknowledged <= pairs
    assert len(names) == 2 * len(pairs), "a commit was torn, or an ephemeral node is there"
    for thread in range(THREADS):
        numbers = [int(pair.partition("-")[2]) for pair in pairs if pair.startswith(f"{thread}-")]
        node = tree.get(f"/count-{thread}")
        assert (int(node.data), node.version) == (max(numbers), len(numbers))


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "tree.log")
    opener = (
        "import sys; from pathlib import Path; from cronkeeper.common.coordination.embedded import EmbeddedServer;"
        "EmbeddedServer(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", opener, str(tmp_path / "tree.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    server.close()
    assert done.returncode != 0
    assert "in use by another process" in done.stderr


@pytest.mark.parametrize("keep", [True, False])
def test_sessions_and_their_nodes_end_with_the_server(tmp_path: Path, keep: bool) -> None:
    server = EmbeddedServer(tmp_path / "tree.log")
    tree = server.connect()
    tree.commit([Create("/p"), Create("/e", ephemeral=True)])
    session = tree.session()
    if keep:
        tree.close(keep_session=True)
    server.close()
    server = EmbeddedServer(tmp_path / "tree.log")
    again = server.connect(session=(session.id, session.password))
    assert again.children("/") == ["p"]
    assert again.session().password != session.password
    server.close()
