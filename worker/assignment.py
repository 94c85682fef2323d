"""What this node holds: its claims and their specs, as they were last read from the tree or written to it."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Op, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Claim, ClaimName, Spec, decode, encode

log = logging.getLogger(__name__)

JobKey = tuple[int, int]
"""(job, copy)"""


def job_key(run_id: str) -> JobKey:
    """Which job a run is of."""
    job_id, copy, _ = run_id.split(".", 2)
    return int(job_id), int(copy)


@dataclass(slots=True)
class Held:
    """One claim. `version` is None while it is not known whether the last write landed."""

    name: ClaimName
    spec: Spec
    claim: Claim
    version: int | None
    looked: datetime | None = None
    """Until when its ticks were looked at: what was due by then is dealt with, or waits for a place or its turn."""
    newest: int = 0
    """The highest version that the claim may have in the tree by a write of ours."""
    sent: "Write | None" = None
    """The last write, where nobody can tell whether it landed."""
    alone: int | None = None
    """How often the claim was written on this node's disk instead of into the tree; None: the tree rules."""
    owed: bool = False
    """The claim was brought together with what was written here, and the tree is to be told before all else."""
    since: float = 0.0
    """Since when the job is here, in seconds since 1970 by the tree's clock; 0: unknown."""

    @property
    def key(self) -> JobKey:
        """Which job it is, whatever the generation."""
        return self.name.job_id, self.name.copy

    @property
    def token(self) -> str:
        """The fencing token of what the next write claims."""
        gen = f"{self.name.gen.epoch}.{self.name.gen.counter}"
        if self.alone is not None:
            return f"{gen}.{self.newest}.{self.alone + 1}"
        assert self.version is not None
        return f"{gen}.{self.version + 1}"


@dataclass(frozen=True, slots=True)
class Write:
    """A claim as it is to be, and what must happen together with the change or not at all."""

    held: Held
    claim: Claim
    also: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at the tree brought: claims that are new here or newly published, and those that went."""

    gained: tuple[Held, ...] = ()
    lost: tuple[Held, ...] = ()


class Fate(Enum):
    """What became of a write."""

    LANDED = auto()
    REFUSED = auto()
    UNKNOWN = auto()


class Assignment:
    """The claims of one node."""

    def __init__(self, tree: Tree, node: str) -> None:
        self._tree = tree
        self._node = node
        self.held: dict[JobKey, Held] = {}
        self._unsettled: set[JobKey] = set()
        self._listed: Collection[JobKey] | None = None
        self.merge: Callable[[Held], None] = _as_it_is
        """Called with each claim that was just read: brings it together with what the node wrote down by itself.

        Raises: OSError, where that can't be put away: the claim is not held then until it was read again.
        """
        self._parsed: dict[str, ClaimName] = {}
        """The names as they were last listed: of ten thousand most are there the next time."""

    def refresh(self) -> Change:
        """List the claims and read those that are new. Raises: Unavailable."""
        names = self._newest(self._tree.children(paths.claims(self._node)))
        lost = [held for key, held in self.held.items() if not _same(names.get(key), held.name)]
        wanted = [
            name
            for key, name in names.items()
            if key not in self.held or not _same(self.held[key].name, name)
        ]
        gained = self._read(wanted)
        self._listed = names.keys()
        for held in lost:
            del self.held[held.key]
        for held in gained:
            self.held[held.key] = held
        return Change(tuple(gained), tuple(held for held in lost if held.key not in self.held))

    def forget(self) -> None:
        """Know nothing, as before the first look."""
        self.held.clear()
        self._unsettled.clear()
        self._listed = None

    @property
    def listed(self) -> bool:
        """Whether the claims were read since the start."""
        return self._listed is not None

    def adopt(self, held: Held) -> None:
        """Hold what this node's own disk tells of, until the tree can be asked."""
        self.held[held.key] = held
        self.doubt(held.key)

    def may_hold(self, key: JobKey) -> bool:
        """False once it is known that the job is not this node's."""
        return self._listed is None or key in self._listed

    def doubt(self, key: JobKey) -> None:
        """Have a claim read back: somebody else may have changed it."""
        self.held[key].version = None
        self._unsettled.add(key)

    def let_go(self, key: JobKey) -> None:
        """Hold a claim no more, until the next `refresh` has read it again."""
        del self.held[key]

    @property
    def unsettled(self) -> bool:
        """Whether there are claims whose last write may or may not have landed."""
        return bool(self._unsettled)

    def settle(self) -> Change:
        """Read back what is unsettled, no older than now. Raises: Unavailable."""
        doubtful = [self.held[key] for key in sorted(self._unsettled & self.held.keys())]
        doubtful = [held for held in doubtful if held.version is None]
        if not doubtful:
            self._unsettled.clear()
            return Change()
        self._tree.sync()
        nodes = self._tree.get_many([self._path(held) for held in doubtful])
        settled, lost = [], []
        for held, node in zip(doubtful, nodes, strict=True):
            if node is None:
                lost.append(self.held.pop(held.key))
                continue
            held.claim, held.version = decode(node.data, Claim), node.version
            held.newest, held.sent = node.version, None
            if self._merged(held):
                settled.append(held)
            else:
                lost.append(self.held.pop(held.key))
        self._unsettled.clear()
        return Change(tuple(settled), tuple(lost))

    def write(self, writes: Sequence[Write]) -> list[Fate]:
        """Set each claim at the version that is known, and say what became of that.

        Where it did not land, or that can't be told, the claim is unsettled until `settle` has read it back.
        """
        batches: list[list[Op]] = []
        for write in writes:
            assert write.held.version is not None
            data = encode(write.claim)
            batches.append([SetData(self._path(write.held), data, write.held.version), *write.also])
        fates = []
        for write, error in zip(writes, self._commit(batches), strict=True):
            held = write.held
            if error is None and held.version is not None:
                held.claim, held.version = write.claim, held.version + 1
                held.newest = held.version
            else:
                if _fate(error) is Fate.UNKNOWN and held.version is not None:
                    held.newest, held.sent = held.version + 1, write
                held.version = None
                self._unsettled.add(held.key)
            fates.append(_fate(error))
        return fates

    def _commit(self, batches: Sequence[Sequence[Op]]) -> Sequence[Exception | None]:
        try:
            return self._tree.commit_many(batches)
        except Unavailable as error:
            return [error] * len(batches)

    def _read(self, names: Sequence[ClaimName]) -> list[Held]:
        claims = [paths.claim(self._node, name) for name in names]
        specs = [paths.spec(self._node, name) for name in names]
        nodes = self._tree.get_many([*claims, *specs])
        gained = []
        for name, claim, spec in zip(names, nodes[: len(names)], nodes[len(names) :], strict=True):
            if claim is None or spec is None:
                continue
            try:
                held = Held(name, decode(spec.data, Spec), decode(claim.data, Claim), claim.version)
                came = held.claim.here_since
                held.since = spec.modified if came is None else came  # a spec is written once
            except ValueError as error:
                log.error("claim %s can't be read, so the job does not run here: %s", name, error)
                continue
            held.newest = claim.version
            if self._merged(held):
                gained.append(held)
        return gained

    def _merged(self, held: Held) -> bool:
        try:
            self.merge(held)
        except OSError as error:
            log.error(
                "job %d waits, for what was written of it here can't be put away: %s", held.key[0], error
            )
            return False
        return True

    def _path(self, held: Held) -> str:
        return paths.claim(self._node, held.name)

    def _newest(self, names: Iterable[str]) -> dict[JobKey, ClaimName]:
        """The newest publication of each job."""
        known = self._parsed
        self._parsed = {text: known[text] if text in known else ClaimName.parse(text) for text in names}
        newest: dict[JobKey, ClaimName] = {}
        for name in self._parsed.values():
            key = (name.job_id, name.copy)
            if key not in newest or newest[key] < name:
                newest[key] = name
        return newest


def _as_it_is(_held: Held) -> None:
    """Nothing was written down here."""


def _fate(error: Exception | None) -> Fate:
    if error is None:
        return Fate.LANDED
    return Fate.UNKNOWN if isinstance(error, Unavailable) else Fate.REFUSED


def _same(one: ClaimName | None, other: ClaimName) -> bool:
    return one is other or one == other
