"""A fleet in one process: the real front desk, leaders and workers, on a clock that only tests move."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded import EmbeddedServer, EmbeddedTree
from cronkeeper.common.coordination.embedded_nodes import Nodes
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Node as TreeNode
from cronkeeper.common.model import Claim, ClaimName, Job, LiveNode, Node, Report, Run, decode, replace
from cronkeeper.common.store import runs as run_rows
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.schema import job as job_rows
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs, reports, runs
from cronkeeper.manager import nodes as node_desk
from cronkeeper.manager import pauses as pause_desk
from cronkeeper.manager.desk import Desk, tell_leader
from cronkeeper.manager.leader import Leader, LeaderRules
from cronkeeper.manager.runs import Wish
from cronkeeper.worker.claims import Me
from cronkeeper.worker.journal import Journal
from cronkeeper.worker.mark_seen import MarkSeen
from cronkeeper.worker.outbox import Outbox
from cronkeeper.worker.parts import Parts, Rules
from cronkeeper.worker.safekeeping import Safekeeping
from cronkeeper.worker.worker import Worker

from .disks import TroubledAlone
from .fakes import (
    Bell,
    Crash,
    FakeFiles,
    FakeProcesses,
    FakeReporter,
    FakeSpool,
    FakeTable,
    FakeUploads,
    Machine,
    Time,
    Trouble,
    TroubledStore,
    account,
)
from .samples import new_job
from .standings import standing_of

SESSION = 6.0
RUN_LEASE = 60.0
TURNS_AT_ONCE = 50
"""A daemon that wants so many turns at one instant would take a whole CPU."""


@dataclass
class Loop:
    """A daemon's outer loop: `step` says after how many seconds the next one is wanted."""

    step: Callable[[datetime], float]
    bell: Bell
    due: float
    turns: int = 0


@dataclass
class Daemon:
    """What a test may want of a leader or a worker."""

    tree: EmbeddedTree
    leader: Leader | None = None
    worker: Worker | None = None
    reporter: FakeReporter | None = None
    uploads: FakeUploads | None = None
    table: FakeTable | None = None


class Fleet:
    """`trouble` comes to the daemons of the kinds in its keys, leader, worker and api, that start after it."""

    run_lease = RUN_LEASE
    leader_renews = 20.0
    """Seconds after which a leader that nothing wakes looks again."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        nodes: Sequence[str] = ("alpha",),
        trouble: dict[str, Trouble] | None = None,
    ) -> None:
        self.time = Time()
        self.store = store
        self.trouble = {} if trouble is None else trouble
        self.server = EmbeddedServer(None, self.time, self.time.wall)
        self.incarnations = 0
        self.desk = Desk(store, self.server.connect(), DirectoryStore(folder / "store"))
        for path in paths.skeleton():
            self.desk.tree.ensure(path)
        for name in nodes:
            self.add(name)
        self.machines = {name: self._machine(name, folder / name) for name in nodes}
        self.files = FakeFiles()
        self.daemons: dict[str, Daemon] = {}
        self.loops: dict[str, Loop] = {}
        self.lead("first")
        for name in nodes:
            self.work(name)

    def go(self, seconds: float) -> None:
        """Let time pass, and every daemon do what it wants to meanwhile."""
        end = self.time.seconds + seconds
        while True:
            now = self.time.seconds
            ready = [name for name, loop in self.loops.items() if loop.bell.rung or loop.due <= now]
            for name in ready:
                if name in self.loops:
                    self._turn(name, self.loops[name])
            if not ready and not self._move_on(end):
                return

    def until(self, moment: datetime) -> None:
        """`go` to that moment."""
        self.go((moment - self.time.now).total_seconds())

    def _turn(self, name: str, loop: Loop) -> None:
        loop.bell.rung = False
        loop.turns += 1
        assert loop.turns < TURNS_AT_ONCE, f"{name} spins"
        try:
            loop.due = self.time.seconds + loop.step(self.time.now)
        except Crash:
            self.restart(name.removesuffix("'s reporter"))

    def _move_on(self, end: float) -> bool:
        """Go to the next moment at which something happens; False where that is after the end."""
        ends = [process.ends_at for one in self.machines.values() for process in one.running.values()]
        following = min([loop.due for loop in self.loops.values()] + ends, default=math.inf)
        self.time.seconds = min(following, end)
        if following > end:
            return False
        self.desk.tree.children("/")  # the tree ends sessions that have timed out when it is next asked
        for loop in self.loops.values():
            loop.turns = 0
        for name, machine in self.machines.items():
            if machine.let_end() and name in self.loops:
                self.loops[name].bell.set()
        return True

    def lead(self, name: str) -> None:
        """Start a manager."""
        tree, bell = self._connect("leader", None), Bell()
        trouble = self.trouble.get("leader")
        leader = Leader(
            tree,
            self.store if trouble is None else TroubledStore(self.store, trouble),
            Lease(SESSION, self.time),
            LeaderRules(run_lease=self.run_lease, renew_every=self.leader_renews, first_grace=SESSION),
            name=name,
            notify=bell.set,
        )
        self.daemons[name] = Daemon(tree, leader=leader)
        self.loops[name] = Loop(leader.step, bell, self.time.seconds)

    def work(self, name: str, session: tuple[int, bytes] | None = None) -> None:
        """Start the daemon of a node, in the session of an earlier one where that is given."""
        machine, bell = self.machines[name], Bell()
        tree = self._connect("worker", session)
        reporter, table = FakeReporter(partial(self._accept, name), bell.set), FakeTable()
        uploads = FakeUploads(bell.set)
        keeping = Safekeeping(machine.runs, lambda _: None, lambda _: math.inf, self.time)
        outbox = Outbox(reporter, uploads, keeping, self.time)  # type: ignore[arg-type]
        parts = self._parts(machine, tree, bell, reporter=outbox, table=table)
        me = Me(name, machine.boot_id)
        rules = Rules(
            me=me,
            on_time=timedelta(seconds=30),
            clock_grace=timedelta(seconds=5),
            max_running=machine.max_running,
            renew_every=2.0,
            run_lease=self.run_lease,
        )
        worker = Worker(parts, rules)
        machine.home.mkdir(exist_ok=True)
        worker.start(machine.time.now + timedelta(seconds=machine.wall_offset))
        self.daemons[name] = Daemon(tree, worker=worker, reporter=reporter, uploads=uploads, table=table)

        def step(now: datetime) -> float:
            wait = worker.step(now + timedelta(seconds=machine.wall_offset))
            keeping.look()
            return wait

        self.loops[name] = Loop(step, bell, self.time.seconds)
        self.loops[f"{name}'s reporter"] = Loop(reporter.deliver, reporter.bell, self.time.seconds)

    def _machine(self, name: str, home: Path) -> Machine:
        return Machine(name, home, self.time)

    def _parts(self, machine: Machine, tree: EmbeddedTree, bell: Bell, **others: Any) -> Parts:
        lease, trouble = Lease(SESSION, self.time), self.trouble.get("worker", Trouble())
        processes = FakeProcesses(machine, lease, trouble)
        self.incarnations += 1
        told: dict[str, Any] = {"incarnation": str(self.incarnations), "boot_id": machine.boot_id}
        told |= {"version": "1", "hostname": f"host of {machine.name}"}
        live = LiveNode(
            name=machine.name,
            crond=False,
            labels=dict(machine.labels),
            capacity=machine.capacity,
            **told,
        )
        standing = standing_of(machine, tree, live, bell)
        standing.mark = MarkSeen(machine.home / "mark")
        return Parts(
            tree=tree,
            lease=lease,
            lease_file=machine.home / "lease",
            standing=standing,
            spool=FakeSpool(machine),  # type: ignore[arg-type]
            journal=Journal(machine.runs, processes, self.files, account, machine.boot_id, self.time),
            waker=bell,  # type: ignore[arg-type]
            alone=TroubledAlone(machine.home / "alone", machine.boot_id, trouble),
            **others,
        )

    def hang_up(self, name: str) -> None:
        """SIGHUP."""
        self.machines[name].hung_up = True
        self.loops[name].bell.set()

    def stop(self, name: str) -> None:
        """End a daemon without a word; its session is left to its timeout."""
        tree = self.daemons[name].tree
        tree.faults = None
        tree.close(keep_session=True)
        self.loops.pop(name, None)
        self.loops.pop(f"{name}'s reporter", None)

    def restart(self, name: str) -> None:
        """End a daemon and start it again: a worker comes back to its session, a manager does not."""
        session = self.daemons[name].tree.session()
        self.stop(name)
        if name in self.machines:
            self.work(name, (session.id, session.password))
        else:
            self.server.expire(session.id)
            self.lead(name)

    def copy_tree(self) -> dict[str, TreeNode]:
        """What a copy of ZooKeeper's disk would hold."""
        return {path: node for path, node in self.server._core._nodes.persistent() if path != "/"}

    def lose_tree(self, copy: dict[str, TreeNode] | None = None) -> None:
        """ZooKeeper is there again with nothing in it, or with what it held once: every session is over.

        Whoever had left a watch is woken, as by kazoo when the state of its session changes.
        """
        core = self.server._core
        core._nodes = Nodes(copy, self.time.wall)
        for session in list(core._sessions):
            self.server.expire(session)

    def take_over(self, carry_out: Callable[[], object]) -> object:
        """In the middle of a call of the first leader its session ends, a second one leads, and it goes on."""
        self.server.expire(self.daemons["first"].tree.session().id)
        trouble = self.trouble.pop("leader")
        self.lead("second")
        self.trouble["leader"] = trouble
        self.loops["second"].step(self.time.now)
        return carry_out()

    def add(self, name: str) -> None:
        """POST /nodes."""
        node_desk.add(self.desk, Node(name=name, public_key="key", added_at=self.time.now), "ann")

    def drain(self, name: str) -> None:
        """POST /nodes/<name>/drain."""
        node_desk.drain(self.desk, name, "ann", self.time.now)

    def undrain(self, name: str) -> None:
        """POST /nodes/<name>/undrain."""
        node_desk.undrain(self.desk, name, "ann", self.time.now)

    def pause(self, name: str | None = None) -> None:
        """POST /nodes/<name>/pause, or /fleet/pause."""
        pause_desk.pause(self.desk, name, "ann", self.time.now)

    def resume(self, name: str | None = None) -> None:
        """POST /nodes/<name>/resume, or /fleet/resume."""
        pause_desk.resume(self.desk, name, "ann", self.time.now)

    def forget(self, name: str) -> None:
        """DELETE /nodes/<name>."""
        node_desk.forget(self.desk, name, "ann", self.time.now)

    def label(self, name: str, **labels: str) -> None:
        """Give a node these labels instead of those it has: its daemon is started again."""
        self.machines[name].labels = labels
        self.restart(name)

    def power_off(self, name: str) -> None:
        """The machine is gone, with its daemon and its processes."""
        self.stop(name)
        self.machines[name].reboot()

    def _connect(self, kind: str, session: tuple[int, bytes] | None) -> EmbeddedTree:
        tree = self.server.connect(SESSION, session)
        tree.faults = self.trouble.get(kind)
        return tree

    def _accept(self, node: str, batch: Sequence[Report]) -> Sequence[str]:
        def carry_out() -> Sequence[str]:
            return reports.accept(self.desk, node, batch, self.time.now)

        return self.trouble["api"]("report", carry_out) if "api" in self.trouble else carry_out()

    def submit(self, **changes: Any) -> Job:
        """POST /jobs."""
        return jobs.submit(self.desk, new_job(**changes), "ann", self.time.now)

    def request(self, job: Job, node: str | None = None) -> Run:
        """POST /jobs/<id>/runs."""
        return runs.request(self.desk, Wish(job_id=job.id, actor="ann", now=self.time.now, node=node))

    def remove(self, job: Job) -> Job:
        """DELETE /jobs/<id>."""
        return jobs.remove(self.desk, job.id, "ann", self.time.now)

    def change(self, job: Job, **changes: Any) -> Job:
        """Change a job as a person does."""
        wanted = jobs.Edit(
            action="edit", change=lambda now: replace(now, **changes), actor="ann", now=self.time.now
        )
        return jobs.edit(self.desk, job.id, wanted)

    def edit(self, job: Job) -> None:
        """Give a job a new rev, with nothing else changed."""
        new = sa.update(job_rows).values(rev=job_rows.c.rev + 1, unpublished=True)
        self.store.transaction(lambda connection: connection.execute(new.where(job_rows.c.id == job.id)))
        tell_leader(self.desk.tree, job.id, job.rev + 1)

    def job(self, job: Job) -> Job:
        """The job as it is now."""
        return self.job_of(job.id)

    def job_of(self, job_id: int) -> Job:
        """The job of that number as it is now."""
        return jobs.get(self.desk, job_id)

    def runs(self) -> dict[str, Run]:
        """All runs that SQL knows, by their ids."""
        found = [run for job in jobs.listing(self.desk, JobQuery(limit=1000)) for run in self._of(job)]
        return {run.id: run for run in found}

    def _of(self, job: Job) -> Sequence[Run]:
        return self.store.transaction(lambda connection: run_rows.listing(connection, job.id))

    def starts(self) -> list[str]:
        """Every command that was begun on any machine."""
        return sorted(run_id for machine in self.machines.values() for run_id in machine.starts)

    def claims(self) -> dict[tuple[str, ClaimName], Claim]:
        """Every claim in the tree, with the node that has it."""
        tree = self.desk.tree
        names = {node: tree.children(paths.claims(node)) for node in tree.children(paths.NODES)}
        return {
            (node, ClaimName.parse(text)): decode(tree.get(f"{paths.claims(node)}/{text}").data, Claim)
            for node, texts in names.items()
            for text in texts
        }

    def claim(self, job: Job) -> tuple[str, Claim]:
        """The job's one claim, and the node that has it."""
        ((node, claim),) = [
            (node, claim) for (node, name), claim in self.claims().items() if name.job_id == job.id
        ]
        return node, claim
