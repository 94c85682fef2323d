"""Values of the model that tests start from, and threads that do the same thing at the same moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from cronkeeper.common.facts import Crond, Facts
from cronkeeper.common.model import (
    Concurrency,
    JobType,
    NewJob,
    Outcome,
    Output,
    Report,
    Run,
    RunState,
    Spec,
    StartedBy,
    Unfinished,
    hand_run_id,
    replace,
    tick_run_id,
)
from cronkeeper.worker.reload import Live
from cronkeeper.worker.run_folder import Plan

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
TICK = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def facts(live: Live, now: datetime) -> Facts:
    """What a worker says of a machine, as its configuration has it."""
    return Facts(
        hostname="db1.example",
        os="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-18-amd64",
        architecture="x86_64",
        cores=4,
        memory=8 * 1024**3,
        disk_total=100 * 1024**3,
        disk_free=40 * 1024**3,
        version="1.2.3",
        python="3.11.2",
        crond=Crond.DEBIAN,
        crontab="/etc/cron.d/cronkeeper",
        labels=dict(live.labels),
        timezone="Europe/Berlin",
        max_running=live.max_running,
        boot_id="boot-1",
        booted_at=NOW - timedelta(days=1),
        started_at=NOW - timedelta(hours=1),
        told_at=now,
    )


def new_job(**changes: Any) -> NewJob:
    """A job for every minute."""
    fields: dict[str, Any] = {
        "type": JobType.COMMAND,
        "name": "nightly backup",
        "command": "/usr/bin/backup --all",
        "artifact": None,
        "schedule": "* * * * *",
        "at": None,
        "timezone": "Europe/Berlin",
        "run_as": None,
        "concurrency": Concurrency.FORBID,
    }
    return NewJob(**fields | changes)


def report(state: RunState, **changes: Any) -> Report:
    """What a node says in this state of the first run of job 1: all it knows by then."""
    known: dict[str, Any] = {"claimed_at": NOW}
    if state is not RunState.CLAIMED:
        known["started_at"] = NOW + timedelta(seconds=1)
    if state.final:
        known["ended_at"] = NOW + timedelta(seconds=2)
    if state is RunState.SUCCEEDED:
        known |= {"exit_code": 0, "stdout": Output(size=3, data=b"out"), "stderr": Output(size=0, data=b"")}
    fields: dict[str, Any] = {
        "job_id": 1,
        "copy": 0,
        "tick": TICK,
        "attempt": 1,
        "gen": "1-1",
        "node": "alpha",
        "started_by": StartedBy.CRON,
        "state": state,
    }
    fields |= known | changes
    fields.setdefault("run_id", tick_run_id(fields["job_id"], fields["copy"], TICK, fields["attempt"]))
    return Report(**fields)


def hand_run(request: str = "r1", **changes: Any) -> Run:
    """A run of job 1 that somebody asked for by hand, and nobody has begun."""
    fields: dict[str, Any] = {
        "job_id": 1,
        "copy": 0,
        "tick": None,
        "attempt": 1,
        "state": RunState.QUEUED,
        "started_by": StartedBy.HAND,
        "node": None,
        "gen": None,
        "requested_by": "ann",
        "created_at": NOW,
        "claimed_at": None,
        "started_at": None,
        "ended_at": None,
        "exit_code": None,
        "reason": None,
    }
    fields |= changes
    return Run(id=hand_run_id(fields["job_id"], fields["copy"], request), **fields)


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Begin all of them at the same moment, each in a thread of its own; what they return, in order."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        start.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(begin, work) for work in works]]


def spec(**changes: Any) -> Spec:
    """What is published of a job for every minute, in UTC."""
    fields: dict[str, Any] = {
        "job_id": 1,
        "copy": 1,
        "rev": 1,
        "name": "nightly backup",
        "type": JobType.COMMAND,
        "command": "/usr/bin/backup --all",
        "artifact": None,
        "schedule": "* * * * *",
        "at": None,
        "timezone": "UTC",
        "run_as": None,
        "concurrency": Concurrency.FORBID,
        "effective_from": NOW,
    }
    return Spec(**fields | changes)


def unfinished(run_id: str, **changes: Any) -> Unfinished:
    """A run in a claim, begun by alpha."""
    fields: dict[str, Any] = {
        "tick": TICK,
        "attempt": 1,
        "node": "alpha",
        "boot_id": "boot-1",
        "started_by": StartedBy.CLOCK,
    }
    return Unfinished(run_id=run_id, **fields | changes)


def ended(run: Unfinished, state: RunState = RunState.SUCCEEDED) -> Unfinished:
    """The run with its end."""
    end = Outcome(state=state, exit_code=0, reason=None, started_at=NOW, ended_at=NOW + timedelta(seconds=1))
    return replace(run, outcome=end)


def plan(run_id: str = "1.1.20260301T120000Z.1", **changes: Any) -> Plan:
    """A run of job 1 that alpha is to claim."""
    fields: dict[str, Any] = {
        "spec": spec(),
        "gen": "1-1",
        "token": "1.1.1",
        "tick": TICK,
        "attempt": 1,
        "started_by": StartedBy.CLOCK,
        "node": "alpha",
        "boot_id": "boot-1",
        "claimed_at": NOW,
    }
    return Plan(run_id=run_id, **fields | changes)
