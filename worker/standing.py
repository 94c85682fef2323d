"""How the node stands in the tree, apart from its jobs: its sign of life, its facts, and what is asked of it."""

import logging
import math
import time
from collections.abc import Callable, Container, Sequence
from datetime import datetime

from cronkeeper.common.clock import boottime
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import (
    BadVersion,
    Create,
    Delete,
    NodeExists,
    Op,
    SetData,
    Tree,
)
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.errors import Invalid
from cronkeeper.common.facts import Condition, ConditionName, Facts, Finding
from cronkeeper.common.model import decode, encode, replace
from cronkeeper.common.records import Record
from cronkeeper.worker.clocks import Clocks, since
from cronkeeper.worker.mark_seen import MarkSeen
from cronkeeper.worker.presence import Presence
from cronkeeper.worker.records import Told
from cronkeeper.worker.reload import Live, Reload

log = logging.getLogger(__name__)

TELL_EVERY = 60.0
"""Seconds between two tellings of the facts: each measures the clock, which only a write can."""
REPUBLISHED = 15.0
"""Seconds, beside `run_lease`, after which all jobs are published again in a tree that has lost them."""
AGAIN = 1.0
UNIT = 0.001
"""ZooKeeper counts its time in thousandths of a second."""

Gather = Callable[[Live, datetime], Facts]
"""The facts but for clock and configuration. Raises: OSError."""


class Standing:
    """Keeps what people see of the node, and does what they ask of it as a node. Times as in `Presence`."""

    conditions: tuple[Condition, ...] = ()
    """What is wrong with the node, as of the last round."""

    def __init__(
        self,
        tree: Tree,
        presence: Presence,
        gather: Gather,
        reload: Reload,
        live: Live,
        notify: Callable[[], None],
    ) -> None:
        self._tree = tree
        self._presence = presence
        self._gather = gather
        self._reload = reload
        self._live = live
        self._node = presence.live.name
        self._watch = ChildWatch(tree, paths.node(self._node), notify)
        self._request: tuple[str, int] | None = None
        """What is to be done: the request's id, and its version in the tree."""
        self._done: tuple[str, int] | None = None
        """What was done, and is to be told and taken from the tree."""
        self._next_telling, self._told_at = 0.0, -math.inf
        self.clocks = Clocks(math.inf)
        """Whether this machine's clock is right; as it stands here, the tree goes by it itself."""
        self.wall: Callable[[], float] = time.time
        self.records: Callable[[], tuple[Record, ...]] = tuple
        """What the node's own disk tells of its jobs, for a tree that has not been told yet."""
        self.told: Told | None = None
        """What of that was told last, here or by an earlier daemon; None: that was not looked at yet."""
        self.mark = MarkSeen()
        self.boot: Callable[[], float] = boottime
        self.hung_up: Callable[[], bool] = lambda: False
        """Whether a signal has asked for the configuration to be read again since the last call."""
        self.cron_findings: Callable[[], Sequence[Finding]] = lambda: ()
        """What is wrong with cron."""
        self.lasting: Sequence[Finding] = ()
        """What is wrong for as long as this daemon lives."""
        self.runs: Callable[[], tuple[str, ...] | None] = lambda: None
        """The runs of which there is something here, by their ids; None: it is not said."""

    @property
    def clock_offset(self) -> float:
        """Seconds that the wall's clock is ahead of the tree's; NaN while that was not measured."""
        return self.clocks.offset

    def keep(self, clock: float, *, resync: bool) -> bool:
        """Be live, and see what is asked for; True where the node was not live by this session before.

        Raises: SecondWorker; Unavailable; NoNode, where the node's folders are gone.
        """
        news = self._presence.announce(clock)
        if resync and not news:
            self._presence.check()
        if news or resync:
            self.mark.check(
                self._tree
            )  # first: whoever has set it has taken the records of before out of the tree
        if news or resync or self._watch.fired:
            self._look(clock)
        return news

    def forget(self) -> None:
        """The folders of the node are gone: make them, and say everything again."""
        self._presence.forget()
        self._next_telling = 0.0

    def told_lately(self, clock: float, run_lease: float) -> Container[str]:
        """The runs that a tree which had lost them was told of, until all jobs are published there again."""
        return () if self.told is None else self.told.since(clock - run_lease - REPUBLISHED)

    def reload(self, now: datetime) -> Live | None:
        """Read the configuration again if that is asked for; returns what counts from now on, if it is right."""
        hung_up = self.hung_up()
        if self._request is None and not hung_up:
            return None
        live = self._reload.carry_out(now, self._request[0] if self._request is not None else None)
        self._request, self._done = None, self._request
        self._next_telling = 0.0
        if live is not None:
            self._live = live
            self._presence.live = replace(
                self._presence.live, labels=dict(live.labels), capacity=live.capacity
            )
        return live

    def may_claim(self, now: datetime, clock: float) -> bool:
        """Whether this machine's clock is right enough to go by what is due.

        It is measured first where that was not done yet, or the clock was stepped since.

        Raises: Unavailable, NoNode.
        """
        if not self.clocks.known(now, clock):
            self._next_telling = min(self._next_telling, clock)
            self.tell(now, clock)
        return self.clocks.known(now, clock) and self.clocks.may_claim

    def tell(self, now: datetime, clock: float) -> None:
        """Tell the facts, if it is time to. Raises: Unavailable, NoNode."""
        self._judge(now, clock)
        if clock < self._next_telling:
            return
        first = math.isnan(self.clock_offset)
        try:
            self._write(self._facts(now))
        except (NodeExists, BadVersion):  # it is asked for once more meanwhile
            self._look(clock)
            self._next_telling = clock + AGAIN
            return
        except OSError as error:
            log.warning("the facts of this node can't be told: %s", error)
        self._done = None
        self._told_at = clock
        self._next_telling = clock if first and not math.isnan(self.clock_offset) else clock + TELL_EVERY

    def wait(self, clock: float) -> float:
        """Seconds until the next round is wanted."""
        if self._request is not None:
            return 0.0
        news = self.findings() != {each.name for each in self.conditions}
        return max(0.0, min(self._next_telling, self._told_at + AGAIN if news else math.inf) - clock)

    def findings(self) -> set[ConditionName]:
        """What is wrong with the node just now."""
        return {each.name for each in self._found()}

    def _found(self) -> list[Finding]:
        return [*self.cron_findings(), *self.clocks.findings(), *self.lasting]

    def _judge(self, now: datetime, clock: float) -> None:
        """See what is wrong now; what begins or ends is told at once."""
        before = {each.name for each in self.conditions}
        found = self._found()
        self.conditions = since(self.conditions, found, now)
        if before != {each.name for each in found}:
            self._next_telling = min(self._next_telling, max(clock, self._told_at + AGAIN))
        closed = not self.clocks.takes_jobs
        if closed != self._presence.live.closed:
            self._presence.live = replace(self._presence.live, closed=closed)

    def _look(self, clock: float) -> None:
        self._watch.arm()
        found, told = self._tree.get_many([paths.reload(self._node), paths.records(self._node)])
        if told is None:
            self._record(clock)
        elif self.told is None:
            age = max(0.0, self.wall() - told.modified)
            self.told = Told.of(decode(told.data, tuple[Record, ...]), clock - age)
        request = (found.data.decode(errors="replace"), found.version) if found is not None else None
        if request is None or request != self._done:
            self._request, self._done = request, None

    def _record(self, clock: float) -> None:
        records = self.records()
        self.told = Told.of(records, clock)
        try:
            self._tree.commit([Create(paths.records(self._node), encode(records))])
        except Invalid as error:  # the jobs are published all the same, as those of a node that tells nothing
            log.error("what the disk tells of this node's jobs can't be said: %s", error)

    def _facts(self, now: datetime) -> Facts:
        facts = replace(
            self._gather(self._live, now),
            configuration=self._reload.configuration,
            conditions=self.conditions,
            runs=self.runs(),
        )
        if math.isnan(self.clock_offset):
            return facts
        return replace(facts, clock_offset=self.clocks.offset, clock_error=self.clocks.error)

    def _write(self, facts: Facts) -> None:
        """Write them, and measure by that how far the two clocks are apart."""
        path = paths.facts(self._node)
        (known,) = self._tree.get_many([path])
        data = encode(facts)
        ops: list[Op] = [Create(path, data) if known is None else SetData(path, data, known.version)]
        if self._done is not None:
            ops.append(Delete(paths.reload(self._node), self._done[1]))
        sent = self.wall()
        self._tree.commit(ops)
        answered, beside = self.wall(), self.boot()
        written = self._tree.get(path)
        if written.version == (0 if known is None else known.version + 1):
            offset = round((sent + answered) / 2 - written.modified, 6)
            error = round((answered - sent) / 2 + UNIT, 6)
            self.clocks.measure(offset, error, wall=answered, clock=beside)
