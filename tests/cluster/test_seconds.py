"""Seconds and zones on a host with its own crond: punctual, and kill -9 of the daemon loses and doubles nothing."""

import os
import signal
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.installs import Embedded
from support.joblog import JobLog
from support.wait import wait_until
from testbed.hosts import Host

KILLS = 4
ELSEWHERE = "Asia/Kathmandu"
"""+05:45, and clocks are never changed there."""


@pytest.mark.timeout(400)
def test_seconds_are_kept_to_the_moment_and_killing_the_daemon_loses_and_doubles_none(
    tmp_path: Path, open_folder: Path
) -> None:
    log = JobLog(open_folder / "jobs")
    with Host(None, "seconds", "", tmp_path / "host") as host:
        embedded = Embedded(host, "root", root_home=tmp_path)
        embedded.start()
        jobs = [
            embedded.client.create(
                type="command", command=log.command, schedule=schedule, concurrency="allow"
            )
            for schedule in ("@every 2s", "*/2 * * * * *")
        ]
        _await_line(host, f"# by the worker's clock: @every 2s # cronkeeper {jobs[0]['id']} ")
        began = datetime.now(UTC)
        wait_until(lambda: datetime.now(UTC) > began + timedelta(seconds=70), 80)
        undisturbed = datetime.now(UTC)
        _kill_the_daemon(embedded)
        ended = datetime.now(UTC) - timedelta(seconds=5)
        for job in jobs:
            _check(log, job, ended)
            _check_lateness(log, job, undisturbed)
        embedded.stop()


def test_a_job_of_another_zone_is_started_by_cron_on_its_minute(tmp_path: Path, open_folder: Path) -> None:
    log = JobLog(open_folder / "elsewhere")
    with Host(None, "elsewhere", "", tmp_path / "host") as host:
        embedded = Embedded(host, "root", root_home=tmp_path)
        embedded.start()
        due = datetime.now(ZoneInfo(ELSEWHERE)) + timedelta(seconds=75)
        job = embedded.client.create(
            type="command",
            command=log.command,
            schedule=f"{due.minute} {due.hour} * * *",
            timezone=ELSEWHERE,
        )
        _await_line(host, f"# cronkeeper {job['id']} job.sh ({ELSEWHERE}): ")
        wait_until(log.ends, 150)
        (run,) = wait_until(lambda: embedded.client.get(f"/jobs/{job['id']}/runs"), 10) or []
        assert (run["tick"], run["started_by"]) == (f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:00Z}", "cron")
        embedded.stop()


def _await_line(host: Host, text: str) -> None:
    wait_until(lambda: text in host.run(["crontab", "-l"], "root", check=False).stdout, 10)


def _kill_the_daemon(embedded: Embedded) -> None:
    for _ in range(KILLS):
        killed = embedded.daemon
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda killed=killed: _daemon(embedded) not in (None, killed), 20)
        time.sleep(5.3)  # ticks between two kills
    time.sleep(8)  # what fell due while it was away has run by then


def _daemon(embedded: Embedded) -> int | None:
    try:
        return embedded.daemon
    except RuntimeError:
        return None


def _check(log: JobLog, job: dict[str, Any], ended: datetime) -> None:
    """Every second second has one start, from the first tick on, and no other has any."""
    first = datetime.fromisoformat(job["next_ticks"][0])
    count = int((ended - first).total_seconds()) // 2 + 1
    expected = [f"{first + timedelta(seconds=2 * number):%Y-%m-%dT%H:%M:%SZ}" for number in range(count)]
    started = sorted(line.tick for line in log.starts() if line.job == job["id"])
    assert [tick for tick in started if tick <= expected[-1]] == expected


def _check_lateness(log: JobLog, job: dict[str, Any], until: datetime) -> None:
    late = {
        line.tick: line.instant - datetime.fromisoformat(line.tick).timestamp()
        for line in log.starts()
        if line.job == job["id"] and line.instant < until.timestamp()
    }
    whole_minutes = [each for tick, each in late.items() if tick.endswith(":00Z")]
    print(
        f"{job['schedule']}: {len(late)} starts, median {statistics.median(late.values()):.3f} s late, "
        f"at most {max(late.values()):.3f} s; on whole minutes {whole_minutes}"
    )
    assert min(late.values()) >= 0
    assert statistics.median(late.values()) < 0.5
    assert max(late.values()) < 4, "it waited for cron"
