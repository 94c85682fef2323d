"""The pause of this node: what the leader has written of it, and what becomes of the ticks that fall due in it."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.model import Claim, SkipReason, decode
from cronkeeper.common.passed_over import with_skip
from cronkeeper.common.pauses import Pause, waits_for_resumption
from cronkeeper.common.schedule import ONCE, next_tick
from cronkeeper.worker.assignment import Held

log = logging.getLogger(__name__)

LONGEST = timedelta(minutes=10)
"""How long a paused job's ticks wait at most until they are told of as skipped, many in one entry. The auditor
waits for longer before it calls a job overdue."""
INSTANT = timedelta(microseconds=1)
BEGINNING = datetime.min.replace(tzinfo=UTC)


class Pausing:
    """What is known of this node's pauses, whether it or the whole fleet is paused."""

    def __init__(self, tree: Tree, node: str, notify: Callable[[], None], on_time: timedelta) -> None:
        """`on_time`: younger ticks are left alone while the pause goes on, for it may be over, unheard."""
        self._tree = tree
        self._on_time = on_time
        self._path = paths.pause(node)
        self._watch = ChildWatch(tree, paths.node(node), notify)
        self.pause: Pause | None = None
        """The present one, or the last."""
        self.known = False
        """Whether it was read, or an earlier daemon wrote it down."""
        self.heard: Callable[[], object] = lambda: None
        """Called when it was read, before anything is done by it."""
        metrics.PAUSED.set_function(lambda: self.goes_on)

    @property
    def goes_on(self) -> bool:
        """Whether nothing may begin here."""
        return self.pause is not None and self.pause.goes_on

    def look(self, *, whole: bool) -> bool:
        """Read it where there may be news, or `whole`; True where there is some.

        To be called after the claims are listed and before any is acted upon: the leader writes it before it gives
        the node a job.

        Raises: Unavailable; NoNode, where the node's folder is gone.
        """
        if not whole and not self._watch.fired:
            return False
        self._watch.arm()
        (found,) = self._tree.get_many([self._path])
        before, self.pause = self.pause, None if found is None else decode(found.data, Pause)
        self.known = True
        self.heard()
        if self.pause != before and self.pause is not None:
            log.info("this node is %s", "paused: nothing begins here" if self.pause.goes_on else "resumed")
        return self.pause != before

    def passed_over(self, held: Held, claim: Claim, now: datetime) -> Claim:
        """The claim with what fell due before the pause is over, and was not claimed, as skipped.

        A job that came here after the pause is none of its business. The one tick of a job that is due as soon as
        it is sent waits instead, as a run by hand does.
        """
        if self.pause is None or waits_for_resumption(held.spec):
            return claim
        until = now - self._on_time + INSTANT
        if self.pause.until is not None:
            if held.since >= self.pause.until.timestamp():
                return claim
            until = self.pause.until
        after = with_skip(claim, held.spec, until, SkipReason.PAUSED)
        if after is not claim and held.spec.schedule == ONCE:
            first = after.skips[-1].first
            told = "job %d was due once, at %s, while its node was paused: to run it needs another `at`"
            log.warning(told, held.spec.job_id, f"{first:%FT%TZ}", extra={"job": held.spec.job_id})
        return after

    def next_look(self, held: Held) -> datetime | None:
        """When to tell of a job's ticks again while the pause goes on; None where there will be nothing to tell.

        Soon of the first one, and then of all those together that fell due in as long a time as the pause had
        lasted before.
        """
        assert self.pause is not None
        told = BEGINNING if held.claim.watermark is None else held.claim.watermark
        tick = None if waits_for_resumption(held.spec) else next_tick(held.spec, told)
        if tick is None:
            return None
        first = tick + self._on_time
        return first if told <= self.pause.since else max(first, told + min(LONGEST, told - self.pause.since))
