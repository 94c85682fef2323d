"""50 jobs every minute, and a kill -9 around the burst: 0 lost, 0 doubled, caught up within a second.

B: killed at :59.0 and started again at once. C: killed a third of the way through the burst and started again
at once. D: away from :59 to :05. First it is cronkeeper that dies, guard and all, then crond.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.installs import Embedded, next_minute, sleep_until
from support.joblog import JobLog
from support.wait import wait_until
from testbed.hosts import Host

JOBS = 50
OWN_PACE = 4.5
"""Seconds after the minute by which a burst that nothing disturbed is over: crond itself is up to 2 s late."""


class Victim(ABC):
    """An install with the jobs on a host of its own, and the part of it that dies."""

    def __init__(self, home: Path, log: JobLog) -> None:
        self.log = log
        self.host = Host(None, home.name, "", home / "host")
        self.embedded = Embedded(self.host, "root", root_home=home)
        self.whole_again = 0.0

    @abstractmethod
    def kill(self) -> None:
        """kill -9."""

    @abstractmethod
    def revive(self) -> None:
        """Start it again; returns when it is whole."""

    def prepare(self) -> None:
        self.host.start()
        self.embedded.start()
        for _ in range(JOBS):
            self.embedded.client.create(type="command", command=self.log.command, schedule="* * * * *")
        table = self.host.crontab("root")
        wait_until(lambda: table.read_text().count("# cronkeeper ") == JOBS + 2, 10)

    def close(self) -> None:
        self.embedded.stop()
        self.host.stop()

    def starts_of(self, minute: float) -> list[float]:
        """When the jobs of a minute started, in seconds after it."""
        tick = f"{datetime.fromtimestamp(minute, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return sorted(line.instant - minute for line in self.log.starts() if line.tick == tick)


class Cronkeeper(Victim):
    """The guard and the daemon die."""

    def kill(self) -> None:
        self.embedded.kill()

    def revive(self) -> None:
        self.embedded.start()
        self.whole_again = time.time()


class Crond(Victim):
    """Debian's cron dies."""

    def kill(self) -> None:
        self.host.kill_cron()

    def revive(self) -> None:
        self.host.start_cron()
        self.whole_again = time.time()


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[list[Victim]]:
    """Both, at the same time: crond first, which is dead and back in no time."""
    home = tmp_path_factory.mktemp("kill")
    made: list[Victim] = []
    with ExitStack() as stack:
        for kind in (Crond, Cronkeeper):
            name = kind.__name__.lower()
            (home / name).mkdir()
            victim = kind(home / name, JobLog(open_folder / name))
            stack.callback(victim.close)
            victim.prepare()
            made.append(victim)
        yield made


@pytest.mark.parametrize("case", ["B", "C", "D"])
def test_around_a_burst_nothing_is_lost_or_doubled(victims: list[Victim], case: str) -> None:
    minute = next_minute(margin=5)
    if case == "C":
        kill_in_the_burst(victims, minute)
    else:
        sleep_until(minute - 1)
        for victim in victims:
            victim.kill()
        if case == "D":
            sleep_until(minute + 5)
        for victim in victims:
            victim.revive()
    for victim in victims:
        wait_until(lambda victim=victim: len(victim.starts_of(minute)) >= JOBS, 20)
    sleep_until(minute + 12)
    for victim in victims:
        starts, whole = victim.starts_of(minute), max(victim.whole_again - minute, 0)
        name = type(victim).__name__
        print(f"{case}, {name}: whole {whole:.2f} s after the minute, last start {starts[-1]:.2f} s after it")
        assert len(starts) == JOBS
        assert victim.log.doubled() == []
        assert starts[-1] <= max(whole + 1, OWN_PACE)


def kill_in_the_burst(victims: list[Victim], minute: float) -> None:
    """Each when a third of its jobs have started; it is started again at once."""
    left = list(victims)

    def next_victim() -> Victim | None:
        return next((victim for victim in left if len(victim.starts_of(minute)) >= JOBS // 3), None)

    while left:
        victim = wait_until(next_victim, 75, every=0.002)
        assert victim is not None
        victim.kill()
        victim.revive()
        left.remove(victim)
