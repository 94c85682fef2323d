"""The frozen values that every part hands to the others, and the enums in them.

Instants are aware datetimes in UTC. The values go over the wire and into znodes as JSON through `encode`
and `decode`, which check types.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")
# What a node says is checked when it is decoded: SQL could not hold more.
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Small = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class JobType(StrEnum):
    """What a job runs: a line for the shell, or a file that is fetched to the node."""

    COMMAND = "command"
    SCRIPT = "script"
    BINARY = "binary"


class JobStatus(StrEnum):
    """A job's state as people see it."""

    SCHEDULED = "scheduled"
    FINISHED = "finished"
    ERROR = "error"


class Concurrency(StrEnum):
    """What becomes of a tick that falls due while a run of the same job is unfinished."""

    FORBID = "forbid"
    """It is skipped."""
    ALLOW = "allow"
    """It runs beside the other."""
    REPLACE = "replace"
    """The other is ended, and it runs once that has gone."""


class CatchUp(StrEnum):
    """Which of the ticks that were missed run later."""

    LATEST = "latest"
    ALL = "all"


class OnNodeLoss(StrEnum):
    """What becomes of a tick whose run was lost with its node."""

    FAIL = "fail"
    """The run stays lost: the tick never starts twice."""
    RERUN = "rerun"
    """The tick runs again, as its next attempt."""


class WhenIsolated(StrEnum):
    """What a node does with the job's runs once it has been cut off for so long that others give them up."""

    FINISH = "finish"
    STOP = "stop"
    RUN = "run"
    """They go on, and its ticks go on beginning: see `common.isolation`."""


class Copies(StrEnum):
    """On how many nodes a job is at the same time."""

    ONE = "1"
    ALL = "all"
    """On every node that will do; each copy goes by itself."""


ONLY = 1
"""The copy of a job that has one. Of all others each has the number of its node, which is none but its own."""


class Role(StrEnum):
    """What a person may do: admins all, users all that is not kept for admins."""

    ADMIN = "admin"
    USER = "user"


class StartedBy(StrEnum):
    """What made a run start when it did."""

    CRON = "cron"
    CLOCK = "clock"
    ADOPTION = "adoption"
    HAND = "hand"
    RETRY = "retry"
    RERUN = "rerun"


class SkipReason(StrEnum):
    """Why a tick will not run."""

    STILL_RUNNING = "still_running"
    COALESCED = "coalesced"
    TOO_LATE = "too_late"
    EDITED = "edited"
    """Its job was given another schedule before the tick was claimed."""
    PAUSED = "paused"
    """Its job, its node or the fleet was paused before the tick was claimed."""
    UNVOUCHED = "unvouched"
    """ZooKeeper was lost, and with it the word of whether it ran."""
    REMOVED = "removed"
    """Its job was removed, or the node of its copy forgotten, before the tick was claimed. The ledger says so; no
    claim does."""


class RunState(StrEnum):
    """The states of a run; `TRANSITIONS` says which may follow which."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"
    LOST = "lost"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        """True where nothing more is expected of the run."""
        return self in FINAL

    @property
    def bad(self) -> bool:
        """True for an end that puts the job into `error`."""
        return self in (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)


FINAL = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.TIMED_OUT,
        RunState.CANCELED,
        RunState.LOST,
        RunState.SKIPPED,
    }
)
_ENDED = FINAL - {RunState.LOST, RunState.SKIPPED}

# Reports of one run may be repeated and may overtake each other, so every later state can follow every
# earlier one. A node that comes back may still say what became of a run that was given up as lost; and where a node
# could not tell whether it had claimed the run, and said that it is lost, another may have skipped it since.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.CLAIMED, RunState.RUNNING}) | FINAL,
    RunState.CLAIMED: frozenset({RunState.RUNNING}) | FINAL,
    RunState.RUNNING: FINAL - {RunState.SKIPPED},
    RunState.LOST: _ENDED | {RunState.SKIPPED},
    **{state: frozenset() for state in _ENDED | {RunState.SKIPPED}},
}


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """Given to a claim whenever its job is published or moved; never used twice."""

    epoch: int
    counter: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.counter}"

    @classmethod
    def parse(cls, text: str) -> "Generation":
        """The inverse of `str`."""
        epoch, counter = text.split("-")
        return cls(int(epoch), int(counter))


@dataclass(frozen=True, slots=True, order=True)
class ClaimName:
    """The name of a claim's znode: which job, which copy of it, which publication."""

    job_id: int
    copy: int
    gen: Generation

    def __str__(self) -> str:
        return f"{self.job_id}.{self.copy}.{self.gen}"

    @classmethod
    def parse(cls, text: str) -> "ClaimName":
        """The inverse of `str`."""
        job_id, copy, gen = text.split(".")
        return cls(int(job_id), int(copy), Generation.parse(gen))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored file: its content's SHA-256 in hex, its name for people, its size in bytes."""

    sha256: str
    filename: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a run that failed or timed out is tried again, and after how many seconds."""

    attempts: int = 0
    """How many more there may be."""
    delay: float = 10.0
    """Before the first of them."""
    backoff: float = 2.0
    """By what each delay is longer than the one before."""
    jitter: float = 0.0
    """Up to so many seconds more, for each attempt others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a person says of a job: what to run, when, as whom, by which policies."""

    type: JobType
    name: str
    command: str | None
    artifact: Artifact | None
    schedule: str | None
    at: datetime | None
    timezone: str
    run_as: str | None
    concurrency: Concurrency
    enabled: bool = True
    """Where false no tick is due; a run by hand is possible."""
    shell: str | None = None
    """The program that reads the command or the script; None: /bin/sh, or the script's own first line."""
    args: tuple[str, ...] = ()
    """What a script or binary is given."""
    node: str | None = None
    """The only node that may have the job."""
    env: dict[str, str] = field(default_factory=dict)
    stdin: str | None = None
    timeout: float | None = None
    """Seconds after which a run is ended; None: never."""
    grace: float = 10.0
    """Seconds between the request to end, SIGTERM, and SIGKILL."""
    catch_up: CatchUp = CatchUp.LATEST
    max_lateness: float = 3600.0
    """Seconds after which a tick that was missed runs no more."""
    requires: dict[str, str] = field(default_factory=dict)
    """The labels that a node must have, with these values."""
    max_output: int = 16 * 1024 * 1024
    """Bytes of each of stdout and stderr that are kept of a run."""
    retry: Retry = Retry()
    on_node_loss: OnNodeLoss = OnNodeLoss.FAIL
    when_isolated: WhenIsolated = WhenIsolated.FINISH
    copies: Copies = Copies.ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob(Definition):
    """A job that the API has checked and the front desk has not yet numbered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Definition):
    """A job as SQL holds it. `rev` grows with every edit; `published_rev` is the rev the nodes know."""

    id: int
    effective_from: datetime
    rev: int
    published_rev: int
    status: JobStatus
    assigned_node: str | None
    placement: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    """When the job was removed, or its one tick was done: from then on it is on no node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Definition):
    """What a node needs to schedule and run a job: published once for each generation, never changed."""

    job_id: int
    copy: int
    rev: int
    effective_from: datetime
    resting: bool = False
    """It is published as not enabled because it is to leave this node, and not since it is paused."""

    @property
    def paused(self) -> bool:
        """Whether nothing of it is to be started anywhere."""
        return not self.enabled and not self.resting


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `exit_code` is None where the process left none; then `reason` says why."""

    state: RunState
    exit_code: int | None
    reason: str | None
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A run in a claim: claimed, and not yet ended with both the claim and the API knowing it."""

    run_id: str
    tick: datetime | None
    attempt: int
    node: str
    boot_id: str
    started_by: StartedBy
    outcome: Outcome | None = None
    not_before: datetime | None = None
    """Of an attempt that waits: no node has it yet, whichever it names, and none starts it before."""
    reruns: int = 0
    """How many of the attempts up to this one were made since a node was lost: none of those is a retry."""

    @property
    def waits(self) -> bool:
        """Whether it is an attempt that is still to be claimed."""
        return self.not_before is not None and self.outcome is None

    @property
    def goes_on(self) -> bool:
        """Whether its node may be running it."""
        return self.not_before is None and self.outcome is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Ticks from `first` to `last` that will not run, all for one reason."""

    first: datetime
    last: datetime
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A node's right to a job. `watermark` is the last tick that was claimed or skipped."""

    watermark: datetime | None = None
    unfinished: tuple[Unfinished, ...] = ()
    skips: tuple[Skip, ...] = ()
    alone: bool = False
    """Whether its node may start ticks without asking while it is cut off: the claim does not leave it before that
    was given back."""
    here_since: float | None = None
    """Since when the job is on its node, in seconds since 1970 by the tree's clock; 0: unknown. None: since its
    spec was written, for it was published there but once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a run wrote to one stream: its size in bytes, and the text or, of a large one, head and tail."""

    size: Size
    data: bytes
    stored: Size | None = None
    """Bytes in the artifact store, where more is kept than `data`; None: `data` is all that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a node says of one run. The same report may come many times, and an older one late."""

    run_id: str
    job_id: Size
    copy: Small
    tick: Moment | None
    attempt: Small
    gen: str
    node: str
    started_by: StartedBy
    state: RunState
    claimed_at: Moment | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    exit_code: Small | None = None
    reason: str | None = None
    first_tick: Moment | None = None
    """Of ticks that were skipped together, the first; `tick` is the last."""
    unbegun: bool = False
    """Its node knows that it never began, though it may have said so: a wrapper was started, and left no mark."""
    stdout: Output | None = None
    stderr: Output | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as SQL holds it. `tick` is None for a run that was asked for by hand."""

    id: str
    job_id: int
    copy: int
    tick: datetime | None
    attempt: int
    state: RunState
    started_by: StartedBy
    node: str | None = None
    gen: str | None = None
    requested_by: str | None = None
    created_at: datetime
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    first_tick: datetime | None = None
    """Of ticks that were skipped together, the first; `tick` is the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandRun:
    """A request in a node's inbox: run this job now."""

    run_id: str
    job_id: int
    copy: int
    request_id: str | None = None
    """The request that asked for it, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the fleet as SQL knows it. `public_key` is its Ed25519 key, base64 of the raw 32 bytes."""

    name: str
    public_key: str
    added_at: datetime
    drained_at: datetime | None = None
    """Since when it is to have no jobs; None: it may have some."""
    paused_at: datetime | None = None
    """Since when nothing begins there; None: it is not paused, but the whole fleet may be."""
    resumed_at: datetime | None = None
    """When its last pause ended."""
    number: int | None = None
    """What its copies of jobs go by; None: it has none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveNode:
    """What a worker says of itself in `/live/<node>`."""

    name: str
    incarnation: str
    """New with every start of the daemon."""
    boot_id: str
    """Of this boot with this `worker.home`: another one after a reboot, and on a copy."""
    version: str
    crond: bool
    """Whether a crond runs on the node and reads our lines."""
    labels: dict[str, str] = field(default_factory=dict)
    """What its configuration says of it; jobs may require some of that."""
    capacity: int = 0
    """The most jobs that it takes, by its configuration; 0: no limit."""
    hostname: str = ""
    closed: bool = False
    """Whether it takes no new jobs for now, since its clock is far off; it keeps those it has."""


def encode(value: object) -> bytes:
    """Any value of this module as compact JSON."""
    return msgspec.json.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The inverse of `encode`.

    Raises:
        ValueError: the bytes are no JSON of that kind (msgspec's own errors are ValueErrors).
    """
    return msgspec.json.decode(data, type=kind)


def replace(value: T, **changes: Any) -> T:
    """A copy of a frozen value with some fields changed."""
    import dataclasses

    return dataclasses.replace(value, **changes)  # type: ignore[type-var]


def tick_run_id(job_id: int, copy: int, tick: datetime, attempt: int) -> str:
    """The id of a tick's run: the same on whatever node, however often it is worked out."""
    return f"{job_id}.{copy}.{tick:%Y%m%dT%H%M%SZ}.{attempt}"


def hand_run_id(job_id: int, copy: int, request: str) -> str:
    """The id of a run by hand; `request` is unique to the request."""
    return f"{job_id}.{copy}.hand-{request}.1"


def attempt_run_id(run_id: str, attempt: int) -> str:
    """The id of another attempt of a run."""
    return f"{run_id.rpartition('.')[0]}.{attempt}"
