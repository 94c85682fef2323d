"""A fleet whose every machine, daemon and link can be failed, and in which others go on while one waits."""

import heapq
import itertools
import math
from collections.abc import Callable, Container
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from simulation.clocks import LocalTime
from simulation.guard import Guard
from simulation.link import Ended, Link, Way
from simulation.scenario import Event, Fault
from support.disks import TroubledAlone
from support.fakes import Bell, Crash, FakeFiles, Machine
from support.fleet import SESSION, TURNS_AT_ONCE, Daemon, Fleet, Loop

from cronkeeper.common.coordination.embedded import EmbeddedTree
from cronkeeper.common.coordination.embedded_nodes import Nodes
from cronkeeper.common.coordination.tree import Node as TreeNode
from cronkeeper.common.coordination.tree import Session
from cronkeeper.common.errors import Conflict
from cronkeeper.common.model import Report
from cronkeeper.common.store.store import Store
from cronkeeper.worker.journal import Journal
from cronkeeper.worker.parts import Parts
from cronkeeper.worker.run_folder import NoRoom, Plan

DEPTH = 3
"""So many daemons may wait within each other; one more gets its answer at once."""
REPORTER = "'s reporter"
GUARD = "'s guard"
Note = Callable[[Link, str, Event], None]
"""Hears of each strike: the link, the call, and which one it was."""


class DiskJournal(Journal):
    """On a disk that may be full."""

    full: Callable[[], bool]

    def make(self, plan: Plan) -> None:
        if self.full():
            raise NoRoom("the disk is full")
        super().make(plan)


class Cluster(Fleet):
    """`ways` and `clocks` have the name of every node and manager."""

    leader_renews = 2.0

    def __init__(
        self, folder: Path, store: Store, nodes: list[str], managers: list[str], run_lease: float
    ) -> None:
        self.run_lease = run_lease
        self.ways = {name: Way() for name in [*nodes, *managers]}
        self.links: dict[str, list[Link]] = {}
        self.clocks: dict[str, LocalTime] = {}
        self.files_of = {name: FakeFiles() for name in nodes}
        self.full: set[str] = set()
        self.paused: dict[str, float] = {}
        """Who stands still, and until when."""
        self.suspended: dict[str, float] = {}
        """Whose whole machine stands still, and since when."""
        self.down: dict[str, tuple[int, bytes] | None] = {}
        """Daemons that are to be started again, and the session that they come back to."""
        self.deaths: list[tuple[str, float]] = []
        """Which daemon ended, and when."""
        self.heal_at = math.inf
        """When all trouble is over."""
        self.note: Note = lambda link, call, event: None
        self.frozen: dict[str, Any] = {}
        self._busy: list[Loop] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        super().__init__(folder, store, nodes)
        for name in managers[1:]:
            self.lead(name)

    # Time

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Have it done at that reading of the true clock."""
        heapq.heappush(self._agenda, (seconds, next(self._numbers), act))

    def go(self, seconds: float) -> None:
        end = self.time.seconds + seconds
        while True:
            ready = [(name, loop) for name, loop in self.loops.items() if self._is_ready(name, loop)]
            for name, loop in ready:
                if self.loops.get(name) is loop and self._is_ready(name, loop):
                    self._turn(name, loop)
            if not ready and not self._move_on(end):
                return

    def _is_ready(self, name: str, loop: Loop) -> bool:
        return (loop.bell.rung or loop.due <= self.time.seconds) and self._can_turn(name, loop)

    def _can_turn(self, name: str, loop: Loop) -> bool:
        held: Container[str] = self.suspended if name.endswith(GUARD) else self.paused
        return base(name) not in held and not any(each is loop for each in self._busy)

    def _turn(self, name: str, loop: Loop) -> None:
        loop.bell.rung = False
        loop.turns += 1
        assert loop.turns < TURNS_AT_ONCE, f"{name} spins"
        self._busy.append(loop)
        try:
            wait = loop.step(self.clocks[base(name)].now)
            loop.due = self.time.seconds + wait
        except Crash as crash:
            if self.loops.get(name) is loop:
                self.crash(base(name), crash.after if isinstance(crash, Ended) else 0.0)
        finally:
            self._busy.remove(loop)

    def _move_on(self, end: float) -> bool:
        awake = [one for name, one in self.machines.items() if name not in self.suspended]
        ends = [process.ends_at for one in awake for process in one.running.values()]
        dues = [loop.due for name, loop in self.loops.items() if self._can_turn(name, loop)]
        following = min([*dues, *ends, *(each[0] for each in self._agenda[:1])], default=math.inf)
        following = max(following, self.time.seconds)
        if following > end:
            self.time.seconds = max(self.time.seconds, end)
            return False
        if following > self.time.seconds:
            for loop in self.loops.values():
                loop.turns = 0
        self.time.seconds = following
        self.desk.tree.children("/")  # the tree ends sessions that have timed out when it is next asked
        while self._agenda and self._agenda[0][0] <= self.time.seconds:
            heapq.heappop(self._agenda)[2]()
        for name, machine in self.machines.items():
            if name not in self.suspended and machine.let_end() and name in self.loops:
                self.loops[name].bell.set()
        return True

    # Daemons

    def lead(self, name: str) -> None:
        self.clocks.setdefault(name, LocalTime(self.time))
        self._begin(name, "leader")
        super().lead(name)

    def work(self, name: str, session: tuple[int, bytes] | None = None) -> None:
        self._begin(name, "worker")
        super().work(name, session)
        if name + GUARD not in self.loops:
            self.loops[name + GUARD] = Loop(Guard(self.machines[name]).step, Bell(), self.time.seconds)

    def _begin(self, name: str, kind: str) -> None:
        link = Link(self, name, kind, self.ways[name])
        self.trouble[kind] = link
        self.links[name] = [link]
        if kind == "worker":
            reporter = Link(self, name, "reporter", self.ways[name])
            self.links[name].append(reporter)

    def _machine(self, name: str, home: Path) -> Machine:
        self.clocks[name] = LocalTime(self.time)
        return Machine(name, home, self.clocks[name])  # type: ignore[arg-type]

    def _parts(self, machine: Machine, tree: EmbeddedTree, bell: Bell, **others: Any) -> Parts:
        self.files = self.files_of[machine.name]
        parts = super()._parts(machine, tree, bell, **others)
        old = parts.journal
        journal = DiskJournal(old.root, old.processes, old.files, old.account, old.boot_id, old.uptime)
        journal.full = lambda: machine.name in self.full
        alone = parts.alone
        assert isinstance(alone, TroubledAlone)
        alone.full = journal.full
        return replace(parts, journal=journal)

    def _accept(self, node: str, batch: Any) -> Any:
        accept: Callable[[], list[Report]] = partial(super()._accept, node, batch)
        return self.links[node][1]("report", accept)

    def _connect(self, kind: str, session: tuple[int, bytes] | None) -> EmbeddedTree:
        link = self.trouble[kind]
        assert isinstance(link, Link)
        if link.way.wrong.get("tree") not in (Fault.CUT, Fault.CUT_IN, Fault.FROZEN):
            return super()._connect(kind, session)
        tree = super()._connect(kind, None)
        tree.disconnect()
        if session is not None:  # it comes back to that, should it still be there when the link is healed
            tree.joined(Session(*session, SESSION))
        return tree

    def stop(self, name: str) -> None:
        for link in self.links[name]:
            link.gone = True
        self.deaths.append((name, self.time.seconds))
        super().stop(name)

    def crash(self, name: str, after: float, *, guard: bool = False) -> None:
        """End a daemon without a word, its guard too if that is said, and start it again so many seconds later."""
        if name not in self.loops or name in self.suspended:
            return
        if guard:
            self.loops.pop(name + GUARD)
        session = self.daemons[name].tree.session()
        self.thaw(name)
        self.stop(name)
        self.paused.pop(name, None)
        self.down[name] = (session.id, session.password) if name in self.machines else None
        self.at(self.time.seconds + after, lambda: self.start(name))

    def start(self, name: str) -> None:
        """Start a daemon that is down."""
        if name not in self.down:
            return
        session = self.down.pop(name)
        if name in self.machines:
            self.work(name, session)
        else:
            self.lead(name)

    def power_off(self, name: str) -> None:
        if name in self.loops:
            self.thaw(name)
            self.stop(name)
        self.paused.pop(name, None)
        self.down[name] = None
        if name in self.machines:
            self.suspended.pop(name, None)
            self.loops.pop(name + GUARD, None)
            self.machines[name].reboot()

    def forget_for_good(self, name: str) -> bool:
        """Take a machine out of the fleet, and never start it again; False where it is not off, or still live."""
        if name in self.loops or self.down.get(name, ()) is not None:
            return False
        try:
            self.forget(name)
        except Conflict:
            return False
        del self.down[name]
        return True

    # What links ask for

    def wait(self, link: Link, seconds: float) -> None:
        if len(self._busy) <= DEPTH:
            self.go(self._at_most(seconds))
            while not link.gone and link.name in self.paused:
                self.go(self._at_most(self.paused[link.name] - self.time.seconds))
        if link.gone:
            raise Crash

    def _at_most(self, seconds: float) -> float:
        """Nobody waits beyond the end of all trouble."""
        left = self.heal_at - self.time.seconds
        return max(0.0, min(seconds, left)) + 0.001

    def stand_still(self, link: Link, seconds: float) -> None:
        if len(self._busy) <= DEPTH:
            self.pause(link.name, seconds)
        self.wait(link, seconds)

    def pause(self, name: str, seconds: float) -> bool:
        """SIGSTOP, and SIGCONT so many seconds later; False where it stands still already, or is down."""
        until = self.time.seconds + seconds
        if name in self.paused or name not in self.loops:
            return False
        self.paused[name] = until
        tree = self.daemons[name].tree
        if tree._connected:
            tree._leave(end=False)  # else the session would begin to time out anew
        self.at(until, lambda: self.resume(name, tree))
        return True

    def suspend(self, name: str, seconds: float) -> bool:
        """The whole machine stands still; False as of `pause`."""
        if not self.pause(name, seconds):
            return False
        self.suspended[name] = self.time.seconds
        return True

    def resume(self, name: str, tree: EmbeddedTree) -> None:
        """SIGCONT; the link comes back by itself, unless something else is wrong with it."""
        if self.daemons[name].tree is not tree or name not in self.paused:
            return
        del self.paused[name]
        since = self.suspended.pop(name, None)
        for process in self.machines[name].running.values() if since is not None else ():
            process.ends_at += self.time.seconds - since
        self.reconnect(name)

    def reconnect(self, name: str) -> None:
        """Heal the link of a daemon that is up, if nothing else holds it."""
        tree = self.daemons[name].tree
        held = name in self.paused or self.ways[name].wrong.get("tree") in (
            Fault.CUT,
            Fault.CUT_IN,
            Fault.FROZEN,
        )
        if name in self.loops and not held and not tree._connected:
            tree.reconnect()

    def thaw(self, name: str) -> None:
        """Its server is one of the quorum again."""
        core = self.frozen.pop(name, None)
        if core is not None:
            tree = self.daemons[name].tree
            frozen, tree._core = tree._core, core
            tree._connected = False
            frozen.thaw()

    def lose(self, copy: dict[str, TreeNode] | None) -> None:
        """ZooKeeper has forgotten all, or is as it was when the copy was made; whoever can, comes again."""
        for name in list(self.frozen):
            self.thaw(name)
        core = self.server._core
        core._nodes = Nodes(copy, self.time.wall)
        for session in list(core._sessions):  # whose end fires what its client watches, as ZooKeeper's does
            self.server.expire(session)

    def another_leads(self, link: Link) -> None:
        self.server.expire(self.daemons[link.name].tree.session().id)
        for name, daemon in self.daemons.items():
            loop = self.loops.get(name)
            if (
                daemon.leader is not None
                and name != link.name
                and loop is not None
                and self._can_turn(name, loop)
            ):
                self._turn(name, loop)
                break
        if link.gone:
            raise Crash

    def struck(self, link: Link, call: str, event: Event) -> None:
        self.note(link, call, event)

    def leader(self) -> Daemon | None:
        """Who leads."""
        return next((one for name, one in self.daemons.items() if self.leads(name)), None)

    def leads(self, name: str) -> bool:
        leader = self.daemons[name].leader
        return name in self.loops and leader is not None and leader._reign is not None


def base(name: str) -> str:
    """The machine or manager that a loop is of."""
    return name.removesuffix(REPORTER).removesuffix(GUARD)
