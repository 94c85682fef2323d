"""A real cluster whose parts are killed, cut off and stopped, and what became of every tick meanwhile.

What began is told by what the jobs themselves wrote down; what is said of the ticks that did not, by the ledger.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.client import Client
from support.joblog import JobLog
from support.wait import wait_until
from testbed.cluster import Cluster, Daemon, Plan

from bench.measure import Row, percentile, show

ENSEMBLE = Plan(zookeepers=3)
NODES = 3
JOBS = 9
STEP = 2
"""Seconds between two ticks of a job."""
LASTS = 12.0
"""Seconds until what was cut, stopped or killed is put right."""
CALM = 25.0
"""Seconds from then to the next fault."""
SETTLING = 130.0
"""Seconds after the last one until the ledger has all of it: `run_lease`, and then some."""
HEADER = ["faults", "ticks", "began twice", "began never", "told lost", "p50, s", "p99, s", "latest, s"]

Undo = Callable[[], None]


@dataclass(slots=True)
class Tally:
    """What became of the ticks around faults of one kind."""

    faults: int = 0
    ticks: int = 0
    doubled: int = 0
    never: int = 0
    lost: int = 0
    """Of those that never began, as far as a job can tell, the ones that the ledger calls lost."""
    late: list[float] = field(default_factory=list)

    def row(self) -> Row:
        """As `HEADER` says."""
        counts = (self.faults, self.ticks, self.doubled, self.never, self.lost)
        return [*counts, percentile(self.late, 50), percentile(self.late, 99), max(self.late)]


def run(home: Path, rounds: int) -> None:
    """Measure, and print: each fault `rounds` times."""
    folder = Path(tempfile.mkdtemp(prefix="cronkeeper-jobs-"))
    folder.chmod(0o755)
    try:
        with Cluster(home / "cluster", nodes=NODES, plan=ENSEMBLE) as cluster:
            bench = Bench(cluster, JobLog(folder / "jobs"))
            tallies = bench.judge(bench.go_through(rounds))
    finally:
        shutil.rmtree(folder)
    title = f"{JOBS} jobs, each due every {STEP} s, on {NODES} nodes; how late their ticks began"
    show(title, HEADER, {name: [tally.row()] for name, tally in tallies.items()})


class Bench:
    """The cluster and its jobs."""

    def __init__(self, cluster: Cluster, log: JobLog) -> None:
        self._cluster = cluster
        self._log = log
        self._dice = random.Random(1)
        self._client = Client(cluster.url, cluster.admin_token)
        schedule = {"schedule": f"*/{STEP} * * * * *", "concurrency": "allow"}
        self._jobs = [
            self._client.create(type="command", command=log.command, **schedule) for _ in range(JOBS)
        ]
        wait_until(lambda: {line.job for line in log.starts()} == {job["id"] for job in self._jobs}, 30)

    def go_through(self, rounds: int) -> list[tuple[str, datetime]]:
        """Do all there is, over and over; returns what was done and when, and at last when it was over."""
        done: list[tuple[str, datetime]] = [("none", datetime.now(UTC))]
        time.sleep(LASTS + CALM)
        for _ in range(rounds):
            for name, fault in self._faults().items():
                time.sleep(self._dice.random() * STEP)
                done.append((name, datetime.now(UTC)))
                undo = fault()
                time.sleep(LASTS)
                undo()
                time.sleep(CALM)
        done.append(("over", datetime.now(UTC)))
        time.sleep(SETTLING)
        return done

    def judge(self, done: Sequence[tuple[str, datetime]]) -> dict[str, Tally]:
        """Each fault is held to account for the ticks from it to the next one."""
        tallies: dict[str, Tally] = {}
        starts = Counter((line.job, line.tick) for line in self._log.starts())
        began = {(line.job, line.tick): line.instant for line in reversed(self._log.starts())}
        for (name, begin), (_, end) in pairwise(done):
            tally = tallies.setdefault(name, Tally())
            tally.faults += 1
            for job in self._jobs:
                for entry in self._ledger(job["id"], begin, end):
                    tick = (job["id"], entry["tick"])
                    tally.ticks += 1
                    tally.doubled += starts[tick] > 1
                    tally.never += starts[tick] == 0
                    tally.lost += starts[tick] == 0 and entry["result"] == "lost"
                    if tick in began:
                        tally.late.append(began[tick] - datetime.fromisoformat(tick[1]).timestamp())
        return tallies

    def _ledger(self, job_id: str, begin: datetime, end: datetime) -> list[dict[str, Any]]:
        window = f"from={begin:%FT%TZ}&to={end - timedelta(microseconds=1):%FT%TZ}"
        found = self._client.get(f"/jobs/{job_id}/ledger?{window}")["ticks"]
        return [entry for entry in found if entry["expected"]]

    def _faults(self) -> dict[str, Callable[[], Undo]]:
        cluster = self._cluster
        return {
            "a node loses power": self._power_off,
            "a node is cut off": self._cut,
            "a daemon is killed": self._kill_daemon,
            "a daemon hangs (SIGSTOP)": self._hang,
            "crond is killed": self._kill_crond,
            "the leading manager is killed": lambda: _killed(max(cluster.managers, key=_epoch)),
            "a ZooKeeper is killed": lambda: _killed(self._dice.choice(cluster.zookeepers)),
            "SQL is killed": lambda: _killed(cluster.mariadb),
            "the API is killed": lambda: _killed(cluster.api),
        }

    def _node(self) -> str:
        return self._dice.choice(sorted(self._cluster.hosts))

    def _power_off(self) -> Undo:
        name = self._node()
        self._cluster.power_off(name)
        return lambda: self._cluster.power_on(name)

    def _cut(self) -> Undo:
        host = self._cluster.hosts[self._node()]
        host.cut()
        return host.heal

    def _kill_daemon(self) -> Undo:
        os.kill(self._cluster.workers[self._node()].daemon_pid, signal.SIGKILL)
        return lambda: None

    def _hang(self) -> Undo:
        daemon = self._cluster.workers[self._node()].daemon_pid
        os.kill(daemon, signal.SIGSTOP)
        return lambda: os.kill(daemon, signal.SIGCONT)

    def _kill_crond(self) -> Undo:
        host = self._cluster.hosts[self._node()]
        host.kill_cron()
        return host.start_cron


def _killed(server: Any) -> Undo:
    server.kill()
    return server.start  # type: ignore[no-any-return]


def _epoch(manager: Daemon) -> int:
    """The last epoch that a manager said it leads in."""
    said = [line for line in manager.log_path.read_text().splitlines() if " leads, epoch " in line]
    return int(said[-1].rpartition(" ")[2]) if said else 0
