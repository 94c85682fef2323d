"""The leader's picture of the fleet: who is live, and where every claim lies. Only the leader moves claims."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import ONLY, ClaimName, Copies, Job, LiveNode, decode
from cronkeeper.common.pauses import Pause, Pauses
from cronkeeper.common.store.nodes import Roll
from cronkeeper.manager.everywhere import Everywhere
from cronkeeper.manager.placement import NOTHING, JobKey, Labels, Site, Wants, wants
from cronkeeper.manager.publish import NOWHERE, Move, Placed


@dataclass(slots=True)
class Board:
    """Read whole when a reign begins and after a failure, then kept up to date by the leader's own moves."""

    live: dict[str, LiveNode] = field(default_factory=dict)
    placed: dict[JobKey, Placed] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)
    """Every node that has ever been live, but for those that were forgotten and seen off."""
    known: frozenset[str] = frozenset()
    """The nodes that SQL knows: no other one gets jobs, since its reports are refused."""
    drained: frozenset[str] = frozenset()
    """Those of them that are to have no jobs."""
    pauses: Pauses = field(default_factory=Pauses)
    """Who is paused, by SQL."""
    told_pauses: dict[str, Pause | None] = field(default_factory=dict)
    """What the tree tells each node of that; one that is not in it has not been looked at."""
    seen: set[str] = field(default_factory=set)
    """Nodes that have been live since the reign began."""
    absent_since: dict[str, float] = field(default_factory=dict)
    """Nodes that are not live: when that was first seen, on the lease's clock."""
    wanted: dict[int, Wants] = field(default_factory=dict)
    """What jobs demand of their node; those that demand nothing are left out."""
    misplaced: dict[JobKey, None] = field(default_factory=dict)
    """Jobs that are on a live node which will not do, and those that are parked, in the order to look at them."""
    resting: dict[JobKey, str] = field(default_factory=dict)
    """Misplaced jobs that start nothing until they can leave, and until what each waits."""
    told: dict[int, str] = field(default_factory=dict)
    """What people have been told of where jobs are."""
    abroad: dict[JobKey, None] = field(default_factory=dict)
    """Jobs whose claim may list an unfinished run of another node than its own, in the order to look at them."""
    everywhere: Everywhere = field(default_factory=Everywhere)
    """The jobs that are on every node that will do."""
    _on: defaultdict[str, dict[JobKey, Placed]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def read(cls, tree: Tree, before: "Board | None") -> "Board":
        """The picture as the tree shows it, with the memory of the picture before. Raises: Unavailable."""
        board = cls()
        if before is not None:
            board.known, board.drained, board.pauses = before.known, before.drained, before.pauses
            board.everywhere.know_numbers(before.everywhere.numbers)
            board.live, board.seen, board.absent_since = before.live, before.seen, before.absent_since
            board.abroad.update(before.abroad)
        tree.sync()
        nodes = tree.children(paths.NODES)
        board.nodes.update(nodes)
        for node, names in zip(nodes, tree.children_many([paths.claims(n) for n in nodes]), strict=True):
            for text in names if names is not None else []:
                board._put(Placed(node, ClaimName.parse(text)))
        for text in tree.children(paths.PARKED):
            job_id, copy = text.split(".")
            board._put(Placed.parked(int(job_id), int(copy)))
        for key, placed in board.placed.items():
            if before is None or before.placed.get(key) != placed:
                board.abroad[key] = None
            elif key in before.resting:
                board.resting[key] = before.resting[key]
        return board

    def see_live(self, tree: Tree, clock: float, *, whole: bool = True) -> bool:
        """Read who is live; True where that is news. Raises: Unavailable.

        Args:
            whole: read also again what those say of themselves that were live before, which takes as long as there
                are nodes: the jobs of one that has died need not wait for that.
        """
        names = tree.children(paths.LIVE)
        live = {} if whole else {name: self.live[name] for name in names if name in self.live}
        unread = [name for name in names if name not in live]
        for name, sign in zip(unread, tree.get_many([paths.live(name) for name in unread]), strict=True):
            if sign and sign.data:
                live[name] = decode(sign.data, LiveNode)
        before, self.live = self.live, live
        for node in live:
            if node not in before or before[node].labels != live[node].labels:
                self._look_at(self._on.get(node, ()))
                self._look_for_copies([node])
        for node in before.keys() - live.keys():
            self._look_at(self._on.get(node, ()))
        self.seen |= live.keys()
        self.nodes |= live.keys()
        self.absent_since = {
            node: self.absent_since.get(node, clock) for node in (self.nodes | self.known) - live.keys()
        }
        return live != before

    def know_nodes(self, roll: Roll) -> bool:
        """Take note of who is in the fleet, and which of them are drained; True where that is news."""
        others = (self.known ^ roll.known) | (self.drained ^ roll.drained)
        others |= self.everywhere.know_numbers(roll.numbers)
        self.known, self.drained, self.pauses = roll.known, roll.drained, roll.pauses
        for node in others:
            self._look_at(self._on.get(node, ()))
        if others:
            self._look_at(self._on.get(NOWHERE, ()))
        self._look_for_copies(others)
        return bool(others)

    def forgotten(self) -> list[str]:
        """The nodes that have left the fleet, by name: SQL does not know them, and they are not live."""
        return sorted(self.nodes - self.known - self.live.keys())

    def drop(self, node: str) -> None:
        """Nothing of the node is left."""
        self.nodes.discard(node)
        self.seen.discard(node)
        self.absent_since.pop(node, None)
        self.told_pauses.pop(node, None)

    def know_all(self, demands: Iterable[tuple[int, str | None, Labels, Copies]]) -> None:
        """Take note of what all the jobs demand that demand anything."""
        for job_id, node, requires, copies in demands:
            if copies is Copies.ALL:
                self.everywhere.jobs[job_id] = requires
            else:
                self.wanted[job_id] = wants(node, requires)
        self._look_at(self.placed)
        self._look_for_copies(self.live)

    def know(self, job: Job) -> None:
        """Take note of what is asked for."""
        if job.copies is Copies.ALL:
            self.everywhere.know(job)
            self._look_at(self.everywhere.there(job.id))
            self._look_for_copies(self.live)
            return
        demand = wants(job.node, job.requires)
        if demand == NOTHING or job.ended_at is not None:
            self.wanted.pop(job.id, None)
        else:
            self.wanted[job.id] = demand
        self._look_at([(job.id, ONLY)])

    def demand(self, key: JobKey) -> Wants:
        """What a job, or a copy of one, demands of its node."""
        return self.wanted.get(key[0], NOTHING) if key[1] == ONLY else self.everywhere.demand(key)

    def sites(self) -> dict[str, Site]:
        """Where jobs can be: the live nodes that are known, not drained, and told of it where they are paused."""
        takers = self.known - self.drained
        return {
            name: self._site(name, node)
            for name, node in self.live.items()
            if name in takers and (not self.is_paused(name) or self._knows_pause(name))
        }

    def may_have_jobs(self, node: str) -> bool:
        """Whether it is live, known, and not drained; it may have to be told of its pause first."""
        return node in self.live and node in self.known and node not in self.drained

    def is_paused(self, node: str) -> bool:
        """Whether nothing is to begin there."""
        return self.pauses.since(node) is not None

    def _knows_pause(self, node: str) -> bool:
        told = self.told_pauses.get(node)
        return told is not None and told.goes_on

    def drained_sites(self) -> dict[str, Site]:
        """Where jobs could be, were it not drained."""
        return {name: self._site(name, self.live[name]) for name in self.drained if name in self.live}

    def on(self, node: str) -> dict[JobKey, Placed]:
        """What lies on a node."""
        return dict(self._on.get(node, {}))

    def note(self, moves: Iterable[Move]) -> None:
        """The moves have been carried out."""
        for move in moves:
            waits_for = self.resting.get(move.key)
            self.forget(move.key)
            if move.target is not None:
                self._put(move.target)
                self._look_at([move.key])
                if move.resting and waits_for is not None:
                    self.resting[move.key] = waits_for
            else:
                self.abroad.pop(move.key, None)
            if move.target is not None and _brings_runs(move, move.target):
                self.abroad[move.key] = None

    def forget(self, key: JobKey) -> None:
        """The job's claim is no business of ours, or no longer where it was."""
        before = self.placed.pop(key, None)
        if before is not None:
            del self._on[before.node][key]
        self.misplaced.pop(key, None)
        self.resting.pop(key, None)
        self.everywhere.took_away(key)
        if key[1] == ONLY:
            self.told.pop(key[0], None)

    def _look_at(self, keys: Iterable[JobKey]) -> None:
        """See which of the jobs are where they may not be; those on a dead node wait for a live one."""
        for key in keys:
            placed = self.placed.get(key)
            if placed is None or self.everywhere.is_orphan(key):
                self.misplaced.pop(key, None)
                continue
            here = self.live.get(placed.node)
            lacks = here is not None and not self._will_do(key, here)
            if lacks or placed.node == NOWHERE:
                self.misplaced[key] = None
            else:
                self.misplaced.pop(key, None)

    def _look_for_copies(self, nodes: Iterable[str]) -> None:
        """See which of these nodes are to have a copy that is nowhere yet."""
        for name in nodes if self.everywhere.jobs else ():
            if self.may_have_jobs(name):
                self.everywhere.look(name, self.live[name].labels, self.placed)

    def _will_do(self, key: JobKey, node: LiveNode) -> bool:
        if node.name not in self.known or node.name in self.drained:
            return False
        demand = self.demand(key)
        return demand is NOTHING or bool(demand.met_by({node.name: self._site(node.name, node)}))

    def _site(self, name: str, node: LiveNode) -> Site:
        load, paused = len(self._on.get(name, ())), self.is_paused(name)
        return Site(name, node.labels, load, node.capacity, node.closed, paused)

    def _put(self, placed: Placed) -> None:
        key = (placed.name.job_id, placed.name.copy)
        self.placed[key] = placed
        self._on[placed.node][key] = placed
        self.everywhere.put(key)


def _brings_runs(move: Move, target: Placed) -> bool:
    """Whether the claim may list runs of another node: it comes from there, or is made again after it was lost."""
    if move.source is None:
        return move.claim is not None
    return move.source.node != target.node
