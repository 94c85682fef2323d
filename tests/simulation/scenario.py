"""A scenario: a fleet, its jobs, and all that is to befall it, as data, so that it can be replayed and shrunk.

Times are seconds since the beginning. Whatever is left to chance is drawn before the fleet is made.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Strike(StrEnum):
    """What befalls one call of a daemon."""

    LOSE_CALL = "lose_call"
    LOSE_REPLY = "lose_reply"
    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    SLOW_CALL = "slow_call"
    """It is on its way for so long."""
    SLOW_REPLY = "slow_reply"
    STOP_BEFORE = "stop_before"
    """SIGSTOP just before it, and SIGCONT so many seconds later: its link is dead meanwhile."""
    STOP_AFTER = "stop_after"
    TAKE_OVER = "take_over"
    """A leader's session ends, another one leads, and then the call arrives."""


class Fault(StrEnum):
    """What befalls a machine, a daemon or a link for a while."""

    RESTART = "restart"
    PAUSE = "pause"
    """SIGSTOP of the daemon between two rounds, and SIGCONT."""
    SUSPEND = "suspend"
    """The whole machine stands still, its guard and its commands too."""
    NO_GUARD = "no_guard"
    """The guard is killed, and the daemon with it."""
    CUT = "cut"
    """Nothing gets through, in either direction."""
    CUT_IN = "cut_in"
    """Its requests are lost."""
    CUT_OUT = "cut_out"
    """Its requests arrive, the replies are lost."""
    FROZEN = "frozen"
    """It is connected to a follower that is cut off: reads tell of the past, all else fails."""
    SLOW = "slow"
    """Some of its calls take long, as `pattern` has it."""
    EXPIRED = "expired"
    CLOCK = "clock"
    """Its wall clock is set `value` seconds ahead, and back."""
    DRIFT = "drift"
    """Its wall clock gains `value` seconds a second."""
    DISK_FULL = "disk_full"
    POWER = "power"
    FORGOTTEN = "forgotten"
    """Its machine is off, for good: an operator says so."""
    SILENCE = "silence"
    """Its reports are lost."""
    DEAF = "deaf"
    """Its reports arrive, and it does not hear so."""
    NO_SQL = "no_sql"
    WIPED = "wiped"
    """ZooKeeper has forgotten all, and every session."""
    PUT_BACK = "put_back"
    """ZooKeeper is as it was `value` seconds before."""


class Deed(StrEnum):
    """What a person does."""

    EDIT = "edit"
    PAUSE_JOB = "pause_job"
    RESUME_JOB = "resume_job"
    REMOVE = "remove"
    BY_HAND = "by_hand"
    SEND = "send"
    PAUSE_NODE = "pause_node"
    """`who`, or the whole fleet where nobody is named."""
    RESUME_NODE = "resume_node"
    FETCH = "fetch"
    """A job's artifact comes to a node."""


OF_NODES = (Deed.FETCH, Deed.PAUSE_NODE, Deed.RESUME_NODE)
"""Deeds that do nothing to a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """A machine."""

    name: str
    max_running: int = 1000
    labels: dict[str, str] = field(default_factory=dict)
    stubborn: bool = False
    """Its commands go on after SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A job. `asks` are the fields of the API; its runs take as long as `lasts` says, in some order."""

    number: int
    at: float
    """When it is sent in."""
    asks: dict[str, Any]
    due: float | None = None
    """Of a one-shot: when."""
    artifact: bool = False
    lasts: tuple[float, ...]
    fails: int = 0
    """So many of a hundred runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A strike, a fault or a deed. What it has no use for is left out."""

    at: float
    what: Strike | Fault | Deed
    who: str = ""
    """The node, or the manager."""
    job: int = 0
    lasts: float = 0.0
    calls: str = ""
    """Of a strike: which calls it may come to; "": any."""
    nth: int = 0
    """And to which of these, counted from when it is due."""
    value: float = 0.0
    pattern: tuple[float, ...] = ()
    asks: dict[str, Any] = field(default_factory=dict)
    heard: bool = True
    """Of a deed: whether the leader is told, or has to find it in SQL."""

    def __str__(self) -> str:
        said = {each.name: getattr(self, each.name) for each in fields(self)[2:]}
        told = ", ".join(f"{name}={value}" for name, value in said.items() if value is not True and value)
        return f"{self.at:7.2f} {self.what} {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it. Trouble is over after `lasts`, and the history ends when the fleet had time to settle."""

    seed: int
    nodes: tuple[NodePlan, ...]
    managers: tuple[str, ...]
    jobs: tuple[JobPlan, ...]
    events: tuple[Event, ...]
    lasts: float
    run_lease: float

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.lasts:.0f} s, run_lease {self.run_lease:.0f} s, {len(self.managers)} managers"
        ]
        lines += [
            f"  node {each.name}: max_running {each.max_running} {each.labels}{' stubborn' * each.stubborn}"
            for each in self.nodes
        ]
        for job in self.jobs:
            due = "" if job.due is None else f" due at {job.due:.1f}"
            kind = " artifact" if job.artifact else ""
            ends = f"lasts {job.lasts} fails {job.fails} %"
            lines.append(f"  job {job.number} at {job.at:.1f}:{due}{kind} {job.asks} {ends}")
        return "\n".join([*lines, *(f"  {event}" for event in self.events)])
