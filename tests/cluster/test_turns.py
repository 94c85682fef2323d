"""Ticks that wait for a place or for their turn, on real installs, by what the jobs themselves wrote down.

In the first minute all jobs begin. Then the daemons are away for two ticks, and in the minute after they are back
the run that goes on is replaced once more.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.client import Client
from support.installs import Embedded, next_minute, sleep_until
from support.joblog import JobLog
from support.wait import wait_until
from testbed.cluster import Cluster
from testbed.hosts import Host

PLACES = 2
CROWD = 6
EVERY_MINUTE = {"type": "command", "schedule": "* * * * *", "timezone": "UTC"}
REPLACED = """trap 'sleep 1; echo end >> {log}; exit 0' TERM
echo "start $CRONKEEPER_TICK" >> {log}
while :; do sleep 0.1; done
"""


@dataclass(frozen=True)
class Site:
    """An install with a job that catches up with all its ticks, and one whose runs replace each other."""

    install: Embedded | Cluster
    caught_up: JobLog
    replaced: Path
    jobs: dict[str, str]

    @classmethod
    def make(cls, install: Embedded | Cluster, folder: Path) -> "Site":
        log = JobLog(folder, seconds=1)
        replaced = folder / "replaced"
        replaced.touch()
        replaced.chmod(0o666)
        script = folder / "replaced.sh"
        script.write_text(REPLACED.format(log=replaced))
        client = _client(install)
        node = {"node": "n1"} if isinstance(install, Cluster) else {}
        one = client.create(command=log.command, catch_up="all", **EVERY_MINUTE, **node)
        other = client.create(command=f"exec sh {script}", concurrency="replace", **EVERY_MINUTE, **node)
        return cls(install, log, replaced, {"caught up": one["id"], "replaced": other["id"]})

    def kill(self) -> None:
        """kill -9 the worker, and its guard."""
        if isinstance(self.install, Embedded):
            self.install.kill()
        else:
            self.install.workers["n1"].kill()

    def revive(self) -> None:
        """Start it again."""
        if isinstance(self.install, Embedded):
            self.install.start()
        else:
            self.install.workers["n1"].start()

    def run(self, job: str, minute: float) -> dict[str, Any]:
        """What the API says of the run of a tick."""
        runs = _client(self.install).get(f"/jobs/{self.jobs[job]}/runs")
        return next((run for run in runs if run["tick"] == tick(minute)), {})


def _client(install: Embedded | Cluster) -> Client:
    return install.client if isinstance(install, Embedded) else Client(install.url, install.admin_token)


def tick(minute: float) -> str:
    return f"{datetime.fromtimestamp(minute, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class History:
    """What has happened: the first minute, and to whom."""

    minute: float
    sites: dict[str, Site]
    crowd: JobLog


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[History]:
    home = tmp_path_factory.mktemp("turns")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(home / "cluster"))
        give_few_places(cluster, "n2")
        embedded = Embedded(
            stack.enter_context(Host(None, "turns", "", home / "host")), "root", root_home=home
        )
        embedded.start()
        stack.callback(embedded.stop)
        sleep_until(next_minute(margin=25) - 55)  # so that no tick comes before the first minute
        sites = {
            "embedded": Site.make(embedded, open_folder / "embedded"),
            "test-bed": Site.make(cluster, open_folder / "cluster"),
        }
        crowd = JobLog(open_folder / "crowd", seconds=2)
        minute = next_minute()
        at = datetime.fromtimestamp(minute, UTC)
        for _ in range(CROWD):
            _client(cluster).create(
                type="command",
                command=crowd.command,
                schedule=f"{at.minute} {at.hour} * * *",
                timezone="UTC",
                node="n2",
            )
        play(minute, list(sites.values()))
        yield History(minute, sites, crowd)
        for site in sites.values():
            _client(site.install).call("DELETE", f"/jobs/{site.jobs['replaced']}")


def give_few_places(cluster: Cluster, node: str) -> None:
    config = cluster.home / "hosts" / f"{node}.toml"
    config.write_text(config.read_text().replace("[worker]\n", f"[worker]\nmax_running = {PLACES}\n"))
    cluster.workers[node].kill()
    cluster.workers[node].start()


def play(minute: float, sites: list[Site]) -> None:
    sleep_until(minute + 20)
    for site in sites:
        site.kill()
    sleep_until(minute + 122)
    for site in reversed(sites):
        site.revive()
    sleep_until(minute + 180)
    for site in sites:
        wait_until(lambda site=site: len(starts(site)) >= 3, 20)
        wait_until(lambda site=site: len(site.caught_up.ends()) >= 4, 20)


def starts(site: Site) -> list[str]:
    """The ticks of the runs that were started, and replaced."""
    return [line.split()[1] for line in site.replaced.read_text().splitlines() if line.startswith("start")]


@pytest.mark.timeout(420)
def test_never_more_go_on_at_once_than_there_are_places_and_all_run(history: History) -> None:
    begins = history.crowd.starts()
    ends = {key: line.instant for key, line in history.crowd.ends().items()}
    assert len({line.job for line in begins}) == len(begins) == CROWD
    together = [
        sum(other.instant <= line.instant < ends[other.job, other.tick] for other in begins)
        for line in begins
    ]
    assert max(together) == PLACES


@pytest.mark.parametrize("name", ["embedded", "test-bed"])
def test_after_an_outage_every_tick_that_was_missed_runs_in_turn(history: History, name: str) -> None:
    log = history.sites[name].caught_up
    begins = log.starts()[:4]
    assert [line.tick for line in begins] == [tick(history.minute + 60 * number) for number in range(4)]
    assert log.doubled() == []
    ends = log.ends()
    assert all(ends[one.job, one.tick].instant <= after.instant for one, after in pairwise(begins))


@pytest.mark.parametrize("name", ["embedded", "test-bed"])
def test_a_run_is_ended_for_the_next_tick_and_never_goes_on_beside_it(history: History, name: str) -> None:
    site, minute = history.sites[name], history.minute
    said = site.replaced.read_text().split("\n")
    newest = [tick(minute), tick(minute + 120), tick(minute + 180)]
    assert said[:5] == [f"start {newest[0]}", "end", f"start {newest[1]}", "end", f"start {newest[2]}"]
    ended = wait_until(lambda: (run := site.run("replaced", minute + 120))["state"] != "running" and run, 10)
    assert (ended["state"], ended["exit_code"]) == ("canceled", 0)
    assert ended["reason"] == f"replaced by the tick of {newest[2]}"
    assert site.run("replaced", minute)["state"] == "canceled"
    assert site.run("replaced", minute + 60)["reason"] == "coalesced"
