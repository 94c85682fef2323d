"""What a worker tells people of its machine, put together."""

import platform
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cronkeeper.common.facts import Facts
from cronkeeper.worker import machine
from cronkeeper.worker.reload import Live

MOST_RUNS = 1000
"""Runs that are told of: after an outage there may be very many that wait to be reported."""


def roll(entries: Collection[str]) -> tuple[str, ...] | None:
    """The runs that are here, by their ids; None where there are too many to be told."""
    return tuple(entries) if len(entries) <= MOST_RUNS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What does not change while the daemon runs."""

    machine: machine.Machine
    home: Path
    version: str
    crontab: str | None
    """What it keeps its lines in; None: the clock leads."""
    timezone: str
    boot_id: str
    started_at: datetime


def gather(about: About, live: Live, now: datetime) -> Facts:
    """All but what only the tree tells. Raises: OSError."""
    fixed, disk = about.machine, machine.disk(about.home)
    return Facts(
        hostname=fixed.hostname,
        os=fixed.os,
        kernel=fixed.kernel,
        architecture=fixed.architecture,
        cores=fixed.cores,
        memory=fixed.memory,
        disk_total=disk.total,
        disk_free=disk.free,
        version=about.version,
        python=platform.python_version(),
        crond=machine.crond(),
        crontab=about.crontab,
        labels=dict(live.labels),
        timezone=about.timezone,
        max_running=live.max_running,
        boot_id=about.boot_id,
        booted_at=fixed.booted_at,
        started_at=about.started_at,
        told_at=now,
    )
