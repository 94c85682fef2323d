"""What people do to the jobs, and what they wanted of each at what time."""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from simulation.cluster import Cluster
from simulation.history import Pause, Version
from simulation.scenario import Deed, Event, JobPlan
from support.fakes import BEGIN
from support.samples import new_job

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.errors import Conflict, Unavailable
from cronkeeper.common.model import (
    Artifact,
    CatchUp,
    ClaimName,
    Concurrency,
    Copies,
    Job,
    JobType,
    OnNodeLoss,
    Retry,
    WhenIsolated,
    replace,
)
from cronkeeper.common.schedule import ONCE
from cronkeeper.common.store import nodes
from cronkeeper.manager import jobs, pauses, runs
from cronkeeper.manager.desk import Desk
from cronkeeper.manager.runs import Wish
from cronkeeper.worker.run_folder import Plan

WORDS: dict[str, Callable[[Any], object]] = {
    "concurrency": Concurrency,
    "catch_up": CatchUp,
    "on_node_loss": OnNodeLoss,
    "when_isolated": WhenIsolated,
    "retry": lambda asked: Retry(**asked),
    "copies": Copies,
}


@dataclass
class People:
    """Who sends in jobs and changes them; `versions` is their own notebook."""

    cluster: Cluster
    plans: dict[int, JobPlan]
    jobs: dict[int, Job] = field(default_factory=dict)
    """What became of the plans that were sent in, by their numbers."""
    versions: dict[int, list[Version]] = field(default_factory=dict)
    files: dict[tuple[int, str], datetime] = field(default_factory=dict)
    """When the file of a job, by its id, came to a node where it was waited for."""
    healed: bool = False
    """Then commands take no time any more."""
    asked: int = 0
    pauses: list[Pause] = field(default_factory=list)
    """Of nodes and of the fleet, in the order of their begins."""
    strays: list[str] = field(default_factory=list)
    """Commands that began on a node while another one had the claim to the job."""

    def send_in(self, plan: JobPlan) -> None:
        """POST /jobs."""
        asks = _words(plan.asks)
        if plan.due is not None:
            asks["at"] = BEGIN + timedelta(seconds=plan.due)
        if plan.artifact:
            script = Artifact(sha_of(plan.number), "job.sh", 3)
            asks |= {"artifact": script, "type": JobType.SCRIPT, "command": None}
        self._note(
            plan.number, jobs.submit(self.cluster.desk, new_job(timezone="UTC", **asks), "ann", self._now)
        )

    def do(self, event: Event) -> None:
        """One deed; nothing where it can't be done any more."""
        if event.what is Deed.FETCH:
            self._fetch(event.job, event.who)
            return
        if event.what in (Deed.PAUSE_NODE, Deed.RESUME_NODE):
            self._pause(event.who if event.who else None, begins=event.what is Deed.PAUSE_NODE)
            return
        job = self.jobs.get(event.job)
        if job is None or self.current(job).ended_at is not None:
            return
        if event.what is Deed.BY_HAND:
            self._ask(job, heard=event.heard)
        elif event.what is Deed.REMOVE:
            desk = self._desk(heard=event.heard)
            self._note(event.job, jobs.remove(desk, job.id, "ann", self._now), removed=True)
        elif event.what is not Deed.SEND or job.copies is Copies.ONE:
            self._change(event.job, job, _CHANGES.get(event.what, event.asks), heard=event.heard)

    def _fetch(self, number: int, node: str) -> None:
        here, sha256 = self.cluster.files_of[node].here, sha_of(number)
        if sha256 not in here and number in self.jobs:  # else it is there before the job is
            self.files[self.jobs[number].id, node] = self._now
        here[sha256] = Path("script")
        if node in self.cluster.loops:
            self.cluster.loops[node].bell.set()

    def current(self, job: Job) -> Job:
        """As it is now."""
        return jobs.get(self.cluster.desk, job.id)

    def let_go(self) -> None:
        """Each job may be anywhere, every artifact is everywhere, and commands are short."""
        self.healed = True
        for who in [each.node for each in self.pauses if each.end is None]:
            self._pause(who, begins=False)
        for number, job in self.jobs.items():
            for name in self.cluster.files_of if self.plans[number].artifact else ():
                self.do(Event(at=0.0, what=Deed.FETCH, who=name, job=number))
            now = self.current(job)
            if now.ended_at is None and (now.node is not None or now.requires):
                self._change(number, job, {"node": None, "requires": {}}, heard=True)

    def lasts(self, plan: Plan) -> float:
        """How many seconds a command takes that begins now."""
        self._look_for_stray(plan)
        choice = self._plan_of(plan).lasts
        return 1.0 if self.healed else choice[zlib.crc32(plan.run_id.encode()) % len(choice)]

    def exits(self, plan: Plan) -> int:
        """With which code a command ends that begins now."""
        fails = zlib.crc32(plan.run_id[::-1].encode()) % 100 < self._plan_of(plan).fails
        return 7 if fails and not self.healed else 0

    def _plan_of(self, plan: Plan) -> JobPlan:
        return next(self.plans[each] for each, job in self.jobs.items() if job.id == plan.spec.job_id)

    def _look_for_stray(self, plan: Plan) -> None:
        tree, job_id = self.cluster.desk.tree, plan.spec.job_id
        if not tree.children_many([paths.NODES])[0]:
            return  # nobody has anything in a tree that is lost
        nodes = tree.children(paths.NODES)
        lists = tree.children_many([paths.claims(node) for node in nodes])
        having = [
            node
            for node, names in zip(nodes, lists, strict=True)
            if any(ClaimName.parse(name).job_id == job_id for name in names or ())
        ]
        if having and plan.node not in having:
            self.strays.append(f"{plan.run_id} began on {plan.node}, and the job is on {having}")

    @property
    def _now(self) -> datetime:
        return self.cluster.time.now

    def _ask(self, job: Job, *, heard: bool) -> None:
        self.asked += 1
        desk = self._desk(heard=heard)
        with contextlib.suppress(Conflict):
            names = sorted(self.cluster.files_of)
            node = names[self.asked % len(names)] if job.copies is Copies.ALL else None
            wish = Wish(job_id=job.id, actor="ann", now=self._now, node=node)
            runs.request_once(desk, wish, str(self.asked), check=jobs.anybody_may)

    def _is_known(self, node: str) -> bool:
        """Whether it was not forgotten."""
        known = self.cluster.desk.store.transaction(nodes.listing)
        return node in {each.name for each in known}

    def _pause(self, who: str | None, *, begins: bool) -> None:
        """`node pause`, `node resume`; twice is as good as once."""
        going_on = [each for each in self.pauses if each.node == who and each.end is None]
        if who is not None and not self._is_known(who):
            return
        if begins:
            pauses.pause(self.cluster.desk, who, "ann", self._now)
        else:
            pauses.resume(self.cluster.desk, who, "ann", self._now)
        if begins and not going_on:
            self.pauses.append(Pause(node=who, begin=self._now, end=None))
        elif not begins:
            over = {id(each): replace(each, end=self._now) for each in going_on}
            self.pauses = [over.get(id(each), each) for each in self.pauses]

    def _change(self, number: int, job: Job, asks: dict[str, Any], *, heard: bool) -> None:
        if asks.get("node", job.node) is None and job.when_isolated is WhenIsolated.RUN:
            asks = asks | {"when_isolated": "finish"}  # the API refuses it else
        wanted = jobs.Edit(
            action="edit", change=lambda now: replace(now, **_words(asks)), actor="ann", now=self._now
        )
        with contextlib.suppress(Conflict):  # as of a one-shot whose time has come meanwhile
            self._note(number, jobs.edit(self._desk(heard=heard), job.id, wanted))

    def _desk(self, *, heard: bool) -> Desk:
        """The front desk, whose word to the leader may be lost."""
        desk = self.cluster.desk
        return desk if heard else replace(desk, tree=_Mute(desk.tree))

    def _note(self, number: int, job: Job, *, removed: bool = False) -> None:
        if number in self.jobs and job.rev == self.jobs[number].rev and not removed:
            return  # it was so before
        self.jobs[number] = job
        once = job.schedule == ONCE
        said = Version(
            since=self._now,
            schedule=None if once else job.schedule,
            at=(job.at if job.at is not None else job.effective_from) if once else None,
            timezone=job.timezone,
            enabled=job.enabled,
            effective_from=job.effective_from,
            concurrency=str(job.concurrency),
            catch_up=str(job.catch_up),
            max_lateness=job.max_lateness,
            on_node_loss=str(job.on_node_loss),
            when_isolated=str(job.when_isolated),
            retry_attempts=job.retry.attempts,
            retry_within=_longest(job.retry),
            node=job.node,
            requires=dict(job.requires),
            copies=str(job.copies),
            removed=removed,
        )
        self.versions.setdefault(job.id, []).append(said)


def _longest(retry: Retry) -> float:
    """Seconds from the end of an attempt in which the next one begins, in a fleet without trouble."""
    return retry.delay * max(1.0, retry.backoff ** (retry.attempts - 1)) + retry.jitter + 10.0


class _Mute:
    """A tree that does not answer."""

    def __init__(self, _tree: Tree) -> None:
        pass

    def commit(self, _ops: object) -> None:
        raise Unavailable("the tree does not answer")


_CHANGES: dict[object, dict[str, Any]] = {
    Deed.PAUSE_JOB: {"enabled": False},
    Deed.RESUME_JOB: {"enabled": True},
}


def sha_of(number: int) -> str:
    """The artifact of a job."""
    return f"{number:064x}"


def _words(asks: dict[str, Any]) -> dict[str, Any]:
    return {name: WORDS[name](value) if name in WORDS else value for name, value in asks.items()}
