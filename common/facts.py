"""What a worker says of its machine; `common.model` encodes and decodes it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Crond(StrEnum):
    """Which cron daemon runs on a node."""

    DEBIAN = "debian"
    CRONIE = "cronie"
    BCRON = "bcron"
    BUSYBOX = "busybox"
    OTHER = "other"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What became of a node's configuration when it was last read."""

    loaded_at: datetime
    """When it was read."""
    error: str | None = None
    """Why that changed nothing."""
    needs_restart: tuple[str, ...] = ()
    """What is another now, as section.key, and counts from the next start of the daemon on."""
    request: str | None = None
    """The request that had it read; None: the start of the daemon, or a signal."""


class ConditionName(StrEnum):
    """What can be wrong with a node that goes on working; docs/operations.md says what to do."""

    CROND_DEAD = "crond_dead"
    CROND_HUNG = "crond_hung"
    CROND_OLD_TABLE = "crond_old_table"
    CRONTAB_EDITED = "crontab_edited"
    CRONTAB_REFUSED = "crontab_refused"
    CRONTAB_FULL = "crontab_full"
    CRONTAB_UNWRITABLE = "crontab_unwritable"
    CLOCK_OFF = "clock_off"
    NO_FENCE = "no_fence"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now, and why, for people."""

    name: ConditionName
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is wrong, and since when. It ends by itself."""

    name: ConditionName
    reason: str
    since: datetime
    """By the node's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a worker says of its machine in `/nodes/<node>/facts`, once a minute; it outlives the worker.

    Sizes are in bytes, durations in seconds.
    """

    hostname: str
    os: str
    kernel: str
    architecture: str
    cores: int
    memory: int
    disk_total: int
    """Of the filesystem of `worker.home`, like `disk_free`."""
    disk_free: int
    version: str
    python: str
    crond: Crond
    crontab: str | None
    """What the worker keeps its lines in; None: the clock leads."""
    labels: dict[str, str]
    timezone: str
    max_running: int
    boot_id: str
    booted_at: datetime
    started_at: datetime
    """When the daemon was started."""
    told_at: datetime
    clock_offset: float | None = None
    """How far the node's clock is ahead of ZooKeeper's."""
    clock_error: float | None = None
    """How far from the truth `clock_offset` may be."""
    configuration: Configuration | None = None
    conditions: tuple[Condition, ...] = ()
    """What is wrong there, each name once; told at once when it changes."""
    runs: tuple[str, ...] | None = None
    """The runs of which the node has something; None: it does not say, or has too many."""
