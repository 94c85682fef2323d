"""50 jobs every minute, and a kill -9 around the burst: 0 lost, 0 doubled, caught up within a second.

B: killed at :59.0 and started again at once. C: killed a third of the way through the burst and started again
at once. D: away from :59 to :05. First it is cronkeeper that dies, guard and all, then crond.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.installs import Embedded, next_minute, sleep_until
from support.joblog import JobLog
from support.wait import wait_until
from testbed.hosts import Host

JOBS = 50


class Bench:
    """An install with the jobs, and when it was last whole again."""

    def __init__(self, host: Host, embedded: Embedded, log: JobLog) -> None:
        self.host = host
        self.embedded = embedded
        self.log = log

    def starts_of(self, minute: float) -> list[float]:
        """When the jobs of a minute started, in seconds after it."""
        tick = _tick(minute)
        return sorted(line.instant - minute for line in self.log.starts() if line.tick == tick)


def _tick(minute: float) -> str:
    return f"{datetime.fromtimestamp(minute, UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("kill")
    log = JobLog(open_folder / "jobs")
    with Host(None, "table", "", home / "host") as host:
        embedded = Embedded(host, "root", root_home=home)
        embedded.start()
        for _ in range(JOBS):
            embedded.client.create(type="command", command=log.command, schedule="* * * * *")
        wait_until(lambda: host.crontab("root").read_text().count("# cronkeeper ") == JOBS + 2, 10)
        yield Bench(host, embedded, log)
        embedded.stop()


def kill_cronkeeper(bench: Bench) -> None:
    bench.embedded.kill()


def start_cronkeeper(bench: Bench) -> None:
    bench.embedded.start()


def kill_crond(bench: Bench) -> None:
    bench.host.kill_cron()


def start_crond(bench: Bench) -> None:
    bench.host.start_cron()


VICTIMS = [
    pytest.param(kill_cronkeeper, start_cronkeeper, id="cronkeeper"),
    pytest.param(kill_crond, start_crond, id="crond"),
]


@pytest.mark.parametrize(("kill", "start"), VICTIMS)
@pytest.mark.parametrize("case", ["B", "C", "D"])
def test_around_a_burst_nothing_is_lost_or_doubled(
    bench: Bench, kill: Callable[[Bench], None], start: Callable[[Bench], None], case: str
) -> None:
    minute = next_minute(margin=5)
    if case == "C":
        wait_until(lambda: len(bench.starts_of(minute)) >= JOBS // 3, 75, every=0.002)
    else:
        sleep_until(minute - 1)
    kill(bench)
    if case == "D":
        sleep_until(minute + 5)
    start(bench)
    whole_again = max(time.time(), minute) - minute
    wait_until(lambda: len(bench.starts_of(minute)) >= JOBS, 20)
    sleep_until(minute + 12)
    starts = bench.starts_of(minute)
    print(f"{case}: whole again {whole_again:.2f} s after the minute, last start {starts[-1]:.2f} s after it")
    assert len(starts) == JOBS
    assert bench.log.doubled() == []
    assert starts[-1] <= max(whole_again + 1, OWN_PACE)


OWN_PACE = 4.5
"""Seconds after the minute by which a burst that nothing disturbed is over: crond itself is up to 2 s late."""
