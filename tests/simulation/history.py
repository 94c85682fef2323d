"""What happened to a fleet, as someone saw it who stood above it and had the one true clock.

The simulation writes this down, and the checker reads it. Neither knows the other, and nothing of the product is
imported here. Instants are true time, in UTC, whatever the clocks of the machines said.
"""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a person had said of a job from `since` on, until the next version. Words are those of the API."""

    since: datetime
    schedule: str | None
    """Cron expression, `@every …`, or None: only by hand, or by `at`."""
    at: datetime | None = None
    timezone: str = "UTC"
    enabled: bool = True
    effective_from: datetime
    """From when its ticks count: set anew by a change of schedule, zone or `at`, and when it is enabled again."""
    concurrency: str = "forbid"
    catch_up: str = "latest"
    max_lateness: float = 3600.0
    on_node_loss: str = "fail"
    when_isolated: str = "finish"
    copies: str = "1"
    retry_attempts: int = 0
    """How many more attempts a failed run gets."""
    retry_within: float = 60.0
    """Seconds from an attempt's end in which the next one begins at the latest, pauses and all."""
    node: str | None = None
    requires: dict[str, str] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A command that was begun on a machine, as the machine itself knows it."""

    run_id: str
    job_id: int
    copy: int
    tick: datetime | None
    """None: it was asked for by hand."""
    attempt: int
    node: str
    token: tuple[int, ...]
    """The fencing token that it was given."""
    began: datetime
    ended: datetime | None
    """None: it was still going on at the end of the history."""
    complete: bool
    """Whether it came to its own end; False where its machine lost power, or it was killed."""
    succeeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What SQL and the ledger said of a run at the end, in the words of the API."""

    run_id: str
    job_id: int
    copy: int
    tick: datetime | None
    first_tick: datetime | None
    """Where it tells of a range of ticks that were skipped: the first one; else `tick`."""
    attempt: int
    state: str
    reason: str | None
    node: str | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the ledger said of a tick to whoever asked at the end, in the words of the API."""

    job_id: int
    copy: int
    tick: datetime
    result: str
    expected: bool
    lateness: float | None
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A time in which a machine, its daemon or its link did not work, or the clock of one was off."""

    node: str
    begin: datetime
    end: datetime | None
    what: str
    """crash, power, pause, stopped (the daemon alone stands still), cut, cut_in, cut_out, slow, expired, clock,
    disk_full, …; no_guard: the guard died with its daemon; forgotten, drain: what an operator did; wiped, restored:
    a store; reports…, sql…, api…: the way to those. `power` and `pause` are the whole machine's."""
    off: float = 0.0
    """Of a clock: by how many seconds it was off, where that was more than `max_skew`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which a node, or the whole fleet where none is named, was paused by an operator."""

    node: str | None
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the fleet was set to, in seconds."""

    session_timeout: float
    run_lease: float
    on_time: float
    clock_grace: float
    max_skew: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One whole fleet from begin to end. At `healed` all trouble was over, and nothing was in anyone's way."""

    begin: datetime
    healed: datetime
    end: datetime
    settings: Settings
    jobs: dict[int, tuple[Version, ...]]
    """Of each job its versions, the oldest first."""
    executions: tuple[Execution, ...]
    told: tuple[Told, ...]
    shown: tuple[Shown, ...] | None = None
    """None: nobody asked for the ledger."""
    statuses: dict[int, str] = field(default_factory=dict)
    """What each job was said to be."""
    trouble: tuple[Away, ...] = ()
    """What befell nodes; what befell managers, stores and links between them is in it under the manager's name."""
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The labels of every node. Empty: they are not known, and where runs are is not checked."""
    managers: tuple[str, ...] = ()
    """The names in `trouble` that are managers; their trouble hinders no tick of a job that stays where it is."""
    files: dict[tuple[int, str], datetime] = field(default_factory=dict)
    """When a job's file was there on a node; of what is not named it always was, or it needs none."""
    places: dict[str, int] = field(default_factory=dict)
    """How many runs may go on at once on a node; one that is not named never runs out."""
    pauses: tuple[Pause, ...] = ()
    copies: dict[tuple[int, int], str] = field(default_factory=dict)
    """The node of each copy of a job that is on every node; of what is not named only its runs tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A promise that was broken: a word for the kind, the job and tick it is about, and what happened."""

    kind: str
    """missed, doubled, stray, overlap, late, early, token, untold, mistold, unsettled, unstopped"""
    job_id: int
    tick: datetime | None
    text: str
