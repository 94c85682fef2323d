"""The way from a daemon to all that is outside it: tree, SQL, API, its machine's processes."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from simulation.scenario import Event, Fault, Strike
from support.fakes import Crash, Trouble

from cronkeeper.common.coordination.embedded_nodes import Nodes
from cronkeeper.common.coordination.tree import Batch, Node
from cronkeeper.common.errors import CronkeeperError, Unavailable

T = TypeVar("T")

PARTS = {"sql": "sql", "report": "api", "start": "machine", "disk": "machine"}
"""What a call of that name goes to; all others go to the tree."""
REFUSED = {Fault.CUT_IN, Fault.SILENCE, Fault.NO_SQL, Fault.CUT}
UNHEARD = {Fault.CUT_OUT, Fault.DEAF}


class Ended(Crash):
    """The daemon is gone, and another is started so many seconds later."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after


@dataclass(slots=True)
class Armed:
    """A strike that waits for its call."""

    event: Event
    passed: int = 0

    def hits(self, call: str) -> bool:
        """Whether this is the call; those before it are counted."""
        wanted = self.event.calls
        lost = self.event.what in (Strike.LOSE_CALL, Strike.LOSE_REPLY)
        if (
            (call == "report") != (wanted == "report")
            or wanted not in ("", call)
            or (lost and PARTS.get(call) == "machine")
        ):
            return False
        self.passed += 1
        return self.passed > self.event.nth


@dataclass(slots=True)
class Way:
    """What is wrong with the links of one machine or manager, whichever daemon it is that uses them."""

    wrong: dict[str, Fault] = field(default_factory=dict)
    """By part: tree, sql, api."""
    strikes: list[Armed] = field(default_factory=list)
    delays: tuple[float, ...] = ()
    calls: int = 0


class Host(Protocol):
    """What a link wants of the cluster."""

    def wait(self, link: "Link", seconds: float) -> None:
        """Let the others go on for so long. Raises Crash where the daemon is gone by then."""

    def stand_still(self, link: "Link", seconds: float) -> None:
        """The same, the whole daemon being stopped."""

    def another_leads(self, link: "Link") -> None:
        """Let another manager lead."""

    def struck(self, link: "Link", call: str, event: Event) -> None:
        """Note it."""


class Link(Trouble):
    """One daemon's; it breaks for good when the daemon ends."""

    def __init__(self, host: Host, name: str, kind: str, way: Way) -> None:
        super().__init__()
        self.name, self.kind, self.way = name, kind, way
        self.gone = False
        self._host = host

    def __call__(self, call: str, carry_out: Callable[[], T]) -> T:
        self._check()
        self.way.calls += 1
        if self.way.delays and (seconds := self.way.delays[self.way.calls % len(self.way.delays)]):
            self._host.wait(self, seconds)
        for armed in self.way.strikes:
            if armed.hits(call):
                self.way.strikes.remove(armed)
                self._host.struck(self, call, armed.event)
                return self._strike(armed.event, call, carry_out)
        return self._plain(call, carry_out)

    def _check(self) -> None:
        if self.gone:
            raise Crash

    def _plain(self, call: str, carry_out: Callable[[], T]) -> T:
        fault = self.way.wrong.get(PARTS.get(call, "tree"))
        if fault in REFUSED:
            raise Unavailable("the call was lost")
        if fault in UNHEARD:
            with contextlib.suppress(CronkeeperError):
                carry_out()
            raise Unavailable("the reply was lost")
        return carry_out()

    def _strike(self, event: Event, call: str, carry_out: Callable[[], T]) -> T:
        before = {
            Strike.SLOW_CALL: lambda: self._host.wait(self, event.lasts),
            Strike.STOP_BEFORE: lambda: self._host.stand_still(self, event.lasts),
            Strike.TAKE_OVER: lambda: self._host.another_leads(self),
        }
        if event.what is Strike.LOSE_CALL:
            raise Unavailable("the call was lost")
        if event.what is Strike.CRASH_BEFORE:
            raise Ended(event.lasts)
        if event.what in before:
            before[event.what]()
            return self._plain(call, carry_out)
        return self._after(event, lambda: self._plain(call, carry_out))

    def _after(self, event: Event, carry_out: Callable[[], T]) -> T:
        """It is carried out, or refused, and then something happens."""
        if event.what in (Strike.LOSE_REPLY, Strike.CRASH_AFTER):
            with contextlib.suppress(CronkeeperError):
                carry_out()
            if event.what is Strike.CRASH_AFTER:
                raise Ended(event.lasts)
            raise Unavailable("the reply was lost")
        pause = self._host.wait if event.what is Strike.SLOW_REPLY else self._host.stand_still
        try:
            return carry_out()
        finally:
            pause(self, event.lasts)


class Frozen:
    """A follower that is cut off from the tree: it goes on answering reads, of what was."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = Nodes(dict(nodes._nodes))
        self._watches: list[Callable[[], None]] = []

    def get(self, path: str) -> Node:
        return self._nodes.get(path)

    def get_many(self, paths: Sequence[str]) -> list[Node | None]:
        return [self._nodes.find(path) for path in paths]

    def children(self, path: str) -> list[str]:
        return self._nodes.children(path)

    def children_many(self, paths: Sequence[str]) -> list[list[str] | None]:
        return [None if self._nodes.find(path) is None else self._nodes.children(path) for path in paths]

    def watch(self, path: str, _client: object, notify: Callable[[], None]) -> None:
        self._nodes.get(path)
        self._watches.append(notify)

    def commit(self, _session: int, _ops: Batch) -> int:
        raise Unavailable("the follower has lost the leader")

    def settle(self, _position: int | None = None) -> None:
        raise Unavailable("the follower has lost the leader")

    def detach(self, _client: object, _session: int, *, end: bool) -> None:
        """Nobody hears of it."""

    def thaw(self) -> None:
        """Whoever watches has to look again."""
        for notify in self._watches:
            notify()
