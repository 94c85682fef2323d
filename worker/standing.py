"""How the node stands in the tree, apart from its jobs: its sign of life, its facts, and what is asked of it."""

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime

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
from cronkeeper.common.facts import Facts
from cronkeeper.common.model import encode, replace
from cronkeeper.worker.presence import Presence
from cronkeeper.worker.reload import Live, Reload

log = logging.getLogger(__name__)

TELL_EVERY = 60.0
"""Seconds between two tellings of the facts: each measures the clock, which only a write can."""
AGAIN = 1.0
UNIT = 0.001
"""ZooKeeper counts its time in thousandths of a second."""

Gather = Callable[[Live, datetime], Facts]
"""The facts but for clock and configuration. Raises: OSError."""


class Standing:
    """Keeps what people see of the node, and does what they ask of it as a node. Times as in `Presence`."""

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
        """What is to be done: the id of the request, and its version in the tree."""
        self._done: tuple[str, int] | None = None
        """What was done, and is to be told and taken from the tree."""
        self._next_telling = 0.0
        self.clock_offset = self.clock_error = math.nan
        """Seconds that the wall's clock is ahead of the tree's, and how far from the truth that may be."""
        self.wall: Callable[[], float] = time.time
        self.hung_up: Callable[[], bool] = lambda: False
        """Whether a signal has asked for the configuration to be read again since the last call."""
        self.runs: Callable[[], tuple[str, ...] | None] = lambda: None
        """The runs of which there is something here, by their ids; None: it is not said."""

    def keep(self, clock: float, *, resync: bool) -> bool:
        """Be live, and see what is asked for; True where the node was not live by this session before.

        Raises: SecondWorker; Unavailable; NoNode, where the node's folders are gone.
        """
        news = self._presence.announce(clock)
        if resync and not news:
            self._presence.check()
        if news or resync or self._watch.fired:
            self._look()
        return news

    def forget(self) -> None:
        """The folders of the node are gone: make them, and say everything again."""
        self._presence.forget()
        self._next_telling = 0.0

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

    def tell(self, now: datetime, clock: float) -> None:
        """Tell the facts, if it is time to. Raises: Unavailable, NoNode."""
        if clock < self._next_telling:
            return
        first = math.isnan(self.clock_offset)
        try:
            self._write(self._facts(now))
        except (NodeExists, BadVersion):  # it is asked for once more meanwhile
            self._look()
            self._next_telling = clock + AGAIN
            return
        except OSError as error:
            log.warning("the facts of this node can't be told: %s", error)
        self._done = None
        self._next_telling = clock if first and not math.isnan(self.clock_offset) else clock + TELL_EVERY

    def wait(self, clock: float) -> float:
        """Seconds until the next round is wanted."""
        return 0.0 if self._request is not None else max(0.0, self._next_telling - clock)

    def _look(self) -> None:
        self._watch.arm()
        (found,) = self._tree.get_many([paths.reload(self._node)])
        request = (found.data.decode(errors="replace"), found.version) if found is not None else None
        if request is None or request != self._done:
            self._request, self._done = request, None

    def _facts(self, now: datetime) -> Facts:
        more = {"configuration": self._reload.configuration, "runs": self.runs()}
        facts = replace(self._gather(self._live, now), **more)
        if math.isnan(self.clock_offset):
            return facts
        return replace(facts, clock_offset=self.clock_offset, clock_error=self.clock_error)

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
        answered = self.wall()
        written = self._tree.get(path)
        if written.version == (0 if known is None else known.version + 1):
            self.clock_offset = round((sent + answered) / 2 - written.modified, 6)
            self.clock_error = round((answered - sent) / 2 + UNIT, 6)
