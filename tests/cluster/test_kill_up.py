"""`cronkeeper up`, killed with -9 over and over: nothing acknowledged is lost, and no tick starts twice."""

import os
import random
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.client import Client
from support.installs import Embedded
from support.joblog import JobLog
from support.wait import wait_until
from testbed.hosts import Host

ROUNDS = int(os.environ.get("CRONKEEPER_TEST_ROUNDS", "20"))
MINUTELY = 5


class Stream:
    """POSTs one-shots without a pause, and remembers which were acknowledged."""

    def __init__(self, embedded: Embedded, command: str) -> None:
        self.acknowledged: list[str] = []
        self._embedded = embedded
        self._command = command
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        client = self._embedded.client
        while not self._stop.is_set():
            try:
                answer = client.call(
                    "POST", "/jobs", {"type": "command", "command": self._command, "schedule": "@once"}
                )
            except urllib3.exceptions.HTTPError:
                self._stop.wait(0.05)
                continue
            if answer.status == 201:
                self.acknowledged.append(answer.json["id"])
            self._stop.wait(0.1)


def kill_at_random(embedded: Embedded, chance: random.Random) -> None:
    """Kill the guard, or the daemon, or both; come back when the API answers again."""
    victim = chance.choice(["both", "guard", "daemon"])
    if victim == "daemon":
        os.kill(embedded.daemon, signal.SIGKILL)
    else:
        if victim == "both":
            embedded.kill()
        else:
            os.kill(embedded.guard, signal.SIGKILL)
            embedded.await_end()
        embedded.start()
    wait_until(lambda: answers(embedded.client), 30)


def answers(client: Client) -> bool:
    try:
        return client.call("GET", "/health").status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.mark.timeout(900)
def test_killed_at_random_moments_nothing_is_lost_and_nothing_is_doubled(
    tmp_path: Path, open_folder: Path
) -> None:
    seed = int(os.environ.get("CRONKEEPER_TEST_SEED", str(time.time_ns())))
    print(f"CRONKEEPER_TEST_SEED={seed}")
    chance = random.Random(seed)
    log = JobLog(open_folder / "jobs", seconds=0.5)
    with Host(None, "killed", "", tmp_path / "host") as host:
        embedded = Embedded(host, "root", root_home=tmp_path)
        embedded.start()
        minutely = [
            embedded.client.create(type="command", command=log.command, schedule="* * * * *")
            for _ in range(MINUTELY)
        ]
        began = datetime.now(UTC)
        stream = Stream(embedded, log.command)
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.3, 6))
            kill_at_random(embedded, chance)
        stream.stop()
        ended = datetime.now(UTC)
        wait_until(lambda: all_finished(embedded.client, stream.acknowledged), 60, every=0.5)
        settle_minute(ended)
        check(embedded.client, log, stream.acknowledged, minutely, (began, ended))
        embedded.stop()


def settle_minute(ended: datetime) -> None:
    """Wait until every tick up to the end has had the time to run."""
    wait_until(lambda: datetime.now(UTC) > ended + timedelta(seconds=8), 10)


def all_finished(client: Client, ids: list[str]) -> bool:
    known = {job["id"]: job["status"] for job in all_jobs(client)}
    return all(known.get(each) in ("finished", "error") for each in ids)


def all_jobs(client: Client) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    while page := client.get(f"/jobs?limit=1000&after={jobs[-1]['id'] if jobs else 0}"):
        jobs += page
    return jobs


def check(
    client: Client,
    log: JobLog,
    acknowledged: list[str],
    minutely: list[dict[str, Any]],
    window: tuple[datetime, datetime],
) -> None:
    assert len(acknowledged) > ROUNDS
    assert set(acknowledged) <= {job["id"] for job in all_jobs(client)}
    assert log.doubled() == []
    started = {(line.job, line.tick) for line in log.starts()}
    assert set(acknowledged) <= {job for job, _ in started}, "an acknowledged one-shot never ran"
    expected = {f"{tick:%Y-%m-%dT%H:%M:%SZ}" for tick in minutes(*window)}
    for job in minutely:
        assert expected <= {tick for owner, tick in started if owner == job["id"]}, "a tick is missing"
    check_ends(client, log, {*acknowledged, *(job["id"] for job in minutely)}, window[1])


def check_ends(client: Client, log: JobLog, ids: set[str], until: datetime) -> None:
    """Every end that was reported is the one that the job wrote down, and every one it wrote is reported.

    That is for the ticks up to `until`: those of a later minute may run just now.
    """
    last = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    for job in ids:
        listed = client.get(f"/jobs/{job}/runs?limit=100")
        runs = {run["tick"]: run for run in listed if run["tick"] <= last}
        for (owner, tick), line in log.ends().items():
            if owner == job and tick <= last:
                assert runs[tick]["exit_code"] == line.code, (job, tick)
        for run in runs.values():
            assert run["state"] in ("succeeded", "failed"), run
            wrote = log.ends()[job, run["tick"]]
            assert abs(datetime.fromisoformat(run["ended_at"]).timestamp() - wrote.instant) < 1


def minutes(begin: datetime, end: datetime) -> list[datetime]:
    """The whole minutes later than `begin` and not later than `end`."""
    first = begin.replace(second=0, microsecond=0) + timedelta(minutes=1)
    count = int((end - first) / timedelta(minutes=1)) + 1 if end >= first else 0
    return [first + timedelta(minutes=number) for number in range(count)]
