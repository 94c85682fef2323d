"""`python -m testbed up|status|down`: a cluster in the foreground, and the words for it in a second terminal."""

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .cluster import Cluster

STOP_TIMEOUT = 60.0


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("word", choices=["up", "status", "down"])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--port", type=int, default=31000, help="the API's on this machine's loopback")
    parser.add_argument("--home", type=Path, default=Path("var/cluster"))
    options = parser.parse_args()
    home = options.home.absolute()
    if os.geteuid() != 0:
        print("make cluster: hosts are made of namespaces, which takes root: run it as root", file=sys.stderr)
        return 1
    if options.word == "up":
        return up(home, options.nodes, options.port)
    return status(home) if options.word == "status" else down(home)


def up(home: Path, nodes: int, port: int) -> int:
    """Start a cluster, and stop it on Ctrl-C or `down`."""
    if (running := _read(home)) is not None:
        print(
            f"make cluster: one runs already, process {running['pid']}: make cluster DO=down", file=sys.stderr
        )
        return 1
    shutil.rmtree(home, ignore_errors=True)  # what one that was killed left
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: stop.set())
    cluster = Cluster(home, nodes)
    try:
        cluster.start(port)
        (home / "admin.token").touch(mode=0o600)
        (home / "admin.token").write_text(cluster.admin_token + "\n")
        (home / "state.json").write_text(json.dumps(_state(cluster)))
        _print(_state(cluster))
        stop.wait()
    except OSError as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1
    finally:
        cluster.stop()
    print("the cluster is gone")
    return 0


def status(home: Path) -> int:
    """Say what runs where."""
    state = _read(home)
    if state is None:
        print("no cluster runs: make cluster")
        return 1
    _print(state)
    return 0


def down(home: Path) -> int:
    """Stop the cluster that runs."""
    state = _read(home)
    if state is None:
        print("no cluster runs")
        return 0
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _alive(state["pid"], state["started"]):
        if time.monotonic() > deadline:
            print(f"make cluster: process {state['pid']} does not stop", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("the cluster is gone")
    return 0


def _state(cluster: Cluster) -> dict[str, Any]:
    parts = {
        "zookeeper": cluster.zookeeper.pid,
        "mariadb": cluster.mariadb.pid,
        "seaweedfs": cluster.seaweedfs.pid,
        "api": cluster.api.pid,
        **{f"manager {number}": manager.pid for number, manager in enumerate(cluster.managers, 1)},
        **{f"worker {name}": worker.guard_pid for name, worker in cluster.workers.items()},
    }
    return {
        "pid": os.getpid(),
        "started": _start_time(os.getpid()),
        "url": cluster.url,
        "home": str(cluster.home),
        "parts": parts,
        "crontabs": {name: str(host.cron_d / "cronkeeper") for name, host in cluster.hosts.items()},
    }


def _print(state: dict[str, Any]) -> None:
    for name, pid in state["parts"].items():
        print(f"  {name:<14} process {pid:<8} {'runs' if _start_time(pid) else 'is down'}")
    for name, path in state["crontabs"].items():
        print(f"  the crontab of {name}: {path}")
    print(
        f"a cluster runs on {state['url']}\n"
        f"    export CRONKEEPER_URL={state['url']} CRONKEEPER_TOKEN_FILE={state['home']}/admin.token\n"
        "    .venv/bin/cronkeeper job create --command date --schedule '* * * * *'\n"
        "Ctrl-C or `make cluster DO=down` stops it"
    )


def _read(home: Path) -> dict[str, Any] | None:
    """The state of the cluster that runs; None where none does."""
    try:
        state: dict[str, Any] = json.loads((home / "state.json").read_text())
    except (OSError, ValueError):
        return None
    return state if _alive(state["pid"], state["started"]) else None


def _alive(pid: int, started: str) -> bool:
    return _start_time(pid) == started


def _start_time(pid: int) -> str | None:
    """When the process was started; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19] if fields[0] != "Z" else None


if __name__ == "__main__":
    sys.exit(main())
