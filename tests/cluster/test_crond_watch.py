"""What can go wrong with cron, on hosts with a real one: it is noticed and put right, and every tick runs once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.client import Client
from support.installs import next_minute, sleep_until
from support.joblog import JobLog
from support.ticking import SETTLED, tick_of
from support.wait import wait_until
from testbed.cluster import Cluster, Plan
from testbed.hosts import Host

NOTICED = 90.0
OVER = 130.0
"""Seconds until cron has read what was put right, after that: cron reads once a minute."""
LONG_AGO = 1_000_000_000
BAD = b"61 * * * * root true\n"
FULL = b"# one more line\n" * 10_000


@dataclass
class Watched:
    """A host, what is done to its cron, and when the condition that is to come of it came and went."""

    condition: str
    harm: Callable[[Host], None]
    mend: Callable[[Host], None] | None = None
    """What only people can do. Where there is nothing, the condition ends by itself, and may do so at once."""
    began: float = 0.0
    seen: float = 0.0
    over: float = 0.0

    def __str__(self) -> str:
        came, went = self.seen - self.began, self.over - self.began
        return f"{self.condition} came after {came:.0f} s, went after {went:.0f} s"


def table(host: Host) -> Path:
    return host.cron_d / "cronkeeper"


def signalled(number: signal.Signals) -> Callable[[Host], None]:
    def send(host: Host) -> None:
        for pid in host.cron_pids():
            os.kill(pid, number)

    return send


def appended(lines: bytes) -> Callable[[Host], None]:
    def append(host: Host) -> None:
        with table(host).open("ab") as file:
            file.write(lines)

    return append


def without(lines: bytes) -> Callable[[Host], None]:
    def remove(host: Host) -> None:
        table(host).write_bytes(table(host).read_bytes().replace(lines, b""))

    return remove


def edit(host: Host) -> None:
    table(host).write_text(table(host).read_text().replace("* * * * * root [ -d", "0 0 1 1 * root [ -d", 1))


def truncate(host: Host) -> None:
    os.truncate(table(host), table(host).stat().st_size * 2 // 3)


def remove(host: Host) -> None:
    table(host).unlink()


def backdate(host: Host) -> None:
    """As if the table that cron has read and this one were written in the same second."""
    for path in (table(host), host.cron_d):
        os.utime(path, (LONG_AGO, LONG_AGO))


HOSTS = {
    "n1": Watched("crond_dead", Host.kill_cron, Host.start_cron),
    "n2": Watched("crond_hung", signalled(signal.SIGSTOP), signalled(signal.SIGCONT)),
    "n3": Watched("crontab_edited", edit),
    "n4": Watched("crontab_edited", truncate),
    "n5": Watched("crontab_edited", remove),
    "n6": Watched("crond_old_table", backdate),
    "n7": Watched("crontab_refused", appended(BAD), without(BAD)),
    "n8": Watched("crontab_full", appended(FULL), without(FULL)),
}
SHOWN = "n1"
"""Where `node show` is asked, too: it is noticed first, when nothing is missed while that takes its time."""
SKEWED = "n9"
NEEDED = 35.0
"""Seconds in which our lines are put right at the latest: only when cron has filed that is the condition over, and
before a minute's end it would come and go between two looks."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("crond") / "cluster"
    with Cluster(home, nodes=len(HOSTS) + 1, managers=1, plan=Plan(clocks=True)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    return Client(cluster.url, cluster.admin_token)


def conditions(client: Client) -> dict[str, dict[str, str]]:
    """Of each node the names of what is wrong there, and since when."""
    return {
        node["name"]: {each["name"]: each["since"] for each in node["conditions"] or ()}
        for node in client.get("/nodes")
    }


def placed(client: Client, job_id: str) -> tuple[str | None, str | None] | None:
    """Where a job is, and why it is on no node; None: the leader has not seen to it."""
    job = client.get(f"/jobs/{job_id}")
    found = job["assigned_node"], job["placement"]
    return found if any(found) else None


def test_a_clock_that_is_off_keeps_the_node_from_starting_anything(cluster: Cluster, client: Client) -> None:
    job = client.create(type="command", command="hostname", node=SKEWED)
    path = f"/jobs/{job['id']}"
    wait_until(lambda: client.get(path)["assigned_node"] == SKEWED, 15)
    cluster.clocks[SKEWED].skew(40)
    wait_until(lambda: "clock_off" in conditions(client)[SKEWED], 20)
    held_up = client.call("POST", f"{path}/runs").json
    closed = f"every node that will do is full: {SKEWED} (its clock is off)"
    others: list[str] = []

    def stays_away() -> bool:
        """Whether a new job does, once the leader has heard of it."""
        others.append(client.create(type="command", command="hostname", node=SKEWED)["id"])
        found = wait_until(lambda: placed(client, others[-1]), 15)
        return found == (None, closed)

    wait_until(stays_away, 15, every=1)
    assert client.get(f"/runs/{held_up['id']}")["state"] == "queued"
    cluster.clocks[SKEWED].skew(0)
    wait_until(lambda: client.get(f"/runs/{held_up['id']}")["state"] == "succeeded", 20)
    wait_until(lambda: placed(client, others[-1]) == (SKEWED, None), 20)
    wait_until(lambda: conditions(client)[SKEWED] == {}, 10)


def test_whatever_becomes_of_cron_is_noticed_and_put_right_and_every_tick_runs_once(
    cluster: Cluster, client: Client, open_folder: Path
) -> None:
    log = JobLog(open_folder / "crond")

    def every_minute(node: str) -> str:
        made = client.create(type="command", command=log.command, schedule="* * * * *", node=node)
        path = table(cluster.hosts[node])
        wait_until(lambda: path.exists() and f"# cronkeeper {made['id']} " in path.read_text(), 30)
        return str(made["id"])

    def unread_table() -> bool:
        """Whether cron on n6 has not read its last table, nor will before this minute is nearly over."""
        if next_minute() - time.time() < NEEDED + 10:
            sleep_until(next_minute() + 4)
        end = next_minute()
        backdate(cluster.hosts["n6"])
        cluster.hosts["n6"].stop_cron()
        cluster.hosts["n6"].start_cron()  # it has read the table with one job less
        jobs.append(every_minute("n6"))
        return end - time.time() > NEEDED

    jobs = [every_minute(node) for node in HOSTS]
    wait_until(unread_table, 150)
    began = time.time()
    for node, watched in HOSTS.items():
        watched.harm(cluster.hosts[node])
        watched.began = time.time()
    try:
        wait_until(lambda: look(cluster, conditions(client)), NOTICED + OVER, every=0.3)
    finally:
        print(*(f"{node}: {each}" for node, each in HOSTS.items()), conditions(client), sep="\n")
    assert [node for node, each in HOSTS.items() if each.seen - each.began > NOTICED] == []
    last = time.time() // 60 * 60
    sleep_until(last + SETTLED.total_seconds())
    ticks = [tick_of(minute) for minute in range(int(began // 60 + 1) * 60, int(last) + 1, 60)]
    started = {(line.job, line.tick) for line in log.starts()}
    assert len(ticks) > 1
    assert [(job, tick) for tick in ticks for job in jobs if (job, tick) not in started] == []
    assert log.doubled() == []


def look(cluster: Cluster, now: dict[str, dict[str, str]]) -> bool:
    """Take note of what the nodes say, and mend what only people can; True once all of it is over."""
    for node, watched in HOSTS.items():
        if watched.condition in now[node] and not watched.seen:
            watched.seen = time.time()
            if node == SHOWN:
                assert watched.condition in cluster.cronkeeper("node", "show", node)
            if watched.mend is not None:
                watched.mend(cluster.hosts[node])
        elif watched.seen and not watched.over and now[node] == {}:
            watched.over = time.time()
    return all(watched.over for watched in HOSTS.values())
