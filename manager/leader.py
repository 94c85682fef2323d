"""The leader's step: observe the fleet, decide who gets which job, publish that. One thread, no waiting."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.errors import Conflict, NotFound, Unavailable
from cronkeeper.common.log import about
from cronkeeper.common.model import ONLY, ClaimName, Copies, Job
from cronkeeper.common.store import jobs, leader
from cronkeeper.common.store.jobs import Publication
from cronkeeper.common.store.nodes import Roll
from cronkeeper.common.store.store import Store
from cronkeeper.manager import dispatch, figures, forgotten, news, pausing, settle
from cronkeeper.manager.asked import say_published
from cronkeeper.manager.board import Board
from cronkeeper.manager.changes import changes
from cronkeeper.manager.copies import Copying
from cronkeeper.manager.intake import Intake
from cronkeeper.manager.leader_rules import LeaderRules
from cronkeeper.manager.leadership import Leadership, Reign
from cronkeeper.manager.mark import Mark
from cronkeeper.manager.moves import nodes_left, relocate
from cronkeeper.manager.placement import JobKey, place
from cronkeeper.manager.publish import Move, Placed, carry_out
from cronkeeper.manager.rebalance import Rebalance
from cronkeeper.manager.restoring import Restoring

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between looks at who is live, should a watch be lost."""
SPACING = 0.05
"""Seconds that lie at least between two rounds: where many jobs come in, each round then places many."""
RETRY = 0.5
NO_JOBS: Mapping[JobKey, Job] = {}


class Leader:
    """One manager: a candidate, and the leader while it holds the reign."""

    def __init__(
        self,
        tree: Tree,
        store: Store,
        lease: Lease,
        rules: LeaderRules,
        *,
        name: str,
        notify: Callable[[], None],
    ) -> None:
        self.on_reign: Callable[[int | None], None] = lambda _epoch: None
        """Called with the epoch of each reign of ours, and with None when it is over."""
        self._tree = tree
        self._store = store
        self._lease = lease
        self._rules = rules
        self._leadership = Leadership(tree, store, lease, name, notify=notify)
        self._intake = Intake(tree, store, notify)
        self._live_watch = ChildWatch(tree, paths.LIVE, notify)
        self._reign: Reign | None = None
        self._board: Board | None = None
        self._rebalance: Rebalance | None = None
        self._mark: Mark | None = None
        self._stale, self._next_look = False, 0.0
        self._buried: set[str] = set()
        """Dead nodes whose runs of removed jobs have been given up."""
        self._restoring = Restoring()
        self._unrecorded: list[Publication] = []
        self._complaint: str | None = None
        figures.watch(lease, lambda: self._reign, lambda: self._board)

    def step(self, now: datetime) -> float:
        """One round. Returns after how many seconds the next one is wanted, if nothing wakes it before."""
        clock = self._lease.now()
        try:
            reign = self._leadership.hold(now)
            if reign is not self._reign:  # others may have led meanwhile: nothing of before holds
                self._reign, self._board = reign, None
                self._buried, self._unrecorded, self._restoring = set(), [], Restoring()
                if reign is not None:
                    self._rebalance = Rebalance(self._tree, reign, clock)
                    self._mark = Mark(self._tree, self._store, reign, clock)
                self.on_reign(None if reign is None else reign.epoch)
            if reign is None:
                return self._rules.renew_every
            board = self._look(reign, clock)
            self._stale = True  # should an error that nobody foresaw break the round off
            wait = self._act(reign, board, now, clock)
            self._stale, self._complaint = False, None
        except (Unavailable, Conflict, NotFound) as error:
            if str(error) != self._complaint:
                log.warning("the leader's round is put off: %s", error)
            self._complaint = str(error)
            self._stale = True
            if isinstance(error, leader.Deposed):
                self._leadership.lay_down()
            metrics.ROUNDS_PUT_OFF.inc()
            return RETRY
        return wait

    def _act(self, reign: Reign, board: Board, now: datetime, clock: float) -> float:
        """Decide and publish. A round that has become long goes no further, for another one may lead by now."""
        wait = 0.0
        if self._in_time():
            self._fail_over(reign, board, clock)
            self._record(reign)
        if self._in_time():
            wait = self._take_in(reign, board, now, clock)
        wait = min(wait, self._copy(reign, board, now, clock)) if self._in_time() else wait
        if self._in_time():
            self._settle(reign, board, now, clock)
        if self._in_time():
            self._even_out(reign, board, clock)
        if self._in_time() and self._mark is not None:
            self._mark.keep(now, clock)
        return wait

    def _in_time(self) -> bool:
        return self._lease.may_act(self._lease.now())

    def _look(self, reign: Reign, clock: float) -> Board:
        """The picture: read anew when a reign begins and after every failure."""
        if self._board is None or self._stale:
            board = Board.read(self._tree, self._board)
            dispatch.call_back(self._tree, self._store, reign, board, sorted(board.nodes))
            dispatch.requeue_stranded(self._store, reign)
            known = self._store.transaction(partial(news.as_sql_knows, board, self._unrecorded))
            self._unrecorded = news.agree(board, known, self._unrecorded)
            self._restoring.owe(known.assignments, board, clock)
            self._stale, self._next_look = False, 0.0
            self._intake.hurry()
            self._board = board
        whole = clock >= self._next_look
        if whole or self._live_watch.fired:
            self._live_watch.arm()
            if self._board.see_live(self._tree, clock, whole=whole):
                self._intake.hurry()
        if whole:
            self._next_look = clock + LOOK_EVERY
        return self._board

    def _fail_over(
        self, reign: Reign, board: Board, clock: float, edited: Mapping[JobKey, Job] = NO_JOBS
    ) -> None:
        """Move the jobs of dead nodes, if there is a live one to take them; `edited`: as they are now."""
        for node in sorted(board.absent_since) if board.live else ():
            placed = board.on(node)
            if not placed or not self._is_dead(board, node, clock):
                continue
            chosen = place(placed, board.demand, board.sites())
            if not chosen:
                continue
            moves = [
                Move(key, placed[key], self._place_at(reign, key, target), edited.get(key))
                for key, target in chosen.items()
            ]
            done = carry_out(self._tree, reign, moves, dead=node)
            self._note(board, done)
            if done:
                told = "node %s is gone: %d of its %d jobs moved"
                log.warning(told, node, len(done), len(placed), extra={"node": node})
            dispatch.call_back(self._tree, self._store, reign, board, [node])

    def _fail_over_edited(self, reign: Reign, board: Board, found: Sequence[Job], clock: float) -> None:
        """Where an edit lets a job leave its dead node, nothing of the job as it was before runs elsewhere."""
        edited = {(job.id, ONLY): job for job in found if job.ended_at is None}
        if any(key in board.placed and board.placed[key].node in board.absent_since for key in edited):
            self._fail_over(reign, board, clock, edited)

    def _is_dead(self, board: Board, node: str, clock: float) -> bool:
        since = board.absent_since.get(node)
        return since is not None and (node in board.seen or clock - since >= self._rules.first_grace)

    def _place_at(self, reign: Reign, key: JobKey, node: str) -> Placed:
        return Placed(node, ClaimName(*key, reign.generation()))

    def _take_in(self, reign: Reign, board: Board, now: datetime, clock: float) -> float:
        """Publish what is new, and send queued runs on their way. Returns when to look again, as `step`."""
        pending = self._intake.take(clock)
        if pending is None or self._mark is None:
            return self._rules.renew_every
        self._mark.see(pending.mark)
        if pending.nodes is not None:
            self._know_nodes(reign, board, pending.nodes, now, clock)
        for job in pending.jobs:
            board.know(job)
        self._fail_over_edited(reign, board, pending.jobs, clock)
        moves, done = self._publish(reign, board, pending.jobs, now, clock)
        say_published(done, pending.asked)
        moved = relocate(self._tree, self._store, reign, board, partial(self._place_at, reign))
        self._note(board, moved)
        self._unrecorded += news.of_waiting(board, pending.jobs)
        self._record(reign)
        self._call_back(reign, board, [*done, *moved])
        for run in pending.queued:
            with about(pending.asked.runs.get(run.id)):
                dispatch.dispatch(self._tree, self._store, reign, board, run, now)
        clean = self._intake.drop(reign, pending.changes)
        undone = len(done) < len(moves) or self._restoring.pending
        if undone or moved or not clean:  # one look is at some of what is misplaced
            self._intake.hurry()
        if undone:
            return RETRY
        return 0.0 if self._intake.hurries(clock) else self._rules.renew_every

    def _publish(
        self, reign: Reign, board: Board, found: Sequence[Job], now: datetime, clock: float
    ) -> tuple[list[Move], list[Move]]:
        """Returns what was to be carried out, and what was."""
        when = settle.When(now, clock, self._rules.run_lease)
        one = {(job.id, ONLY): job for job in found if job.copies is Copies.ONE}
        claims = self._restoring.claims(self._tree, self._store, board, one, when)
        ready = [job for key, job in one.items() if key in claims or not self._restoring.waits(key, job)]
        moves = changes(board, ready, claims, partial(self._place_at, reign))
        done = carry_out(self._tree, reign, moves, keep=partial(settle.keep, self._store, reign, now=now))
        self._note(board, done)
        return moves, done

    def _copy(self, reign: Reign, board: Board, now: datetime, clock: float) -> float:
        """Give jobs that are on every node their copies. Returns when to look again, as `step`."""
        copies = Copying(self._tree, self._store, reign, board, self._restoring)
        done, undone = copies.step(
            settle.When(now, clock, self._rules.run_lease), partial(self._place_at, reign)
        )
        self._note(board, done)
        self._record(reign)
        self._call_back(reign, board, done)
        copies.agree()
        return RETRY if undone else self._rules.renew_every

    def _call_back(self, reign: Reign, board: Board, done: Sequence[Move]) -> None:
        """Runs by hand that were sent to nodes which a job has left are queued again."""
        left = nodes_left(done)
        if left:
            self._buried.clear()
            if dispatch.call_back(self._tree, self._store, reign, board, left):
                self._intake.hurry()

    def _know_nodes(self, reign: Reign, board: Board, roll: Roll, now: datetime, clock: float) -> None:
        """Take note of who is in the fleet, and see off those that are no more."""
        if board.know_nodes(forgotten.known_for_certain(self._store, reign, board, roll)):
            self._intake.hurry()
        pausing.tell(self._tree, reign, board, now)
        when = settle.When(now, clock, self._rules.run_lease)
        for node in sorted(board.drained):
            if self._is_dead(board, node, clock):  # what no other one will do for must not stay there either
                parked = forgotten.park(self._tree, self._store, reign, board, node, now)
                self._note(board, parked)
                self._call_back(reign, board, parked)
        for node in board.forgotten():
            self._note(board, forgotten.park(self._tree, self._store, reign, board, node, now))
            self._record(reign)
            if forgotten.clear(self._tree, self._store, reign, board, node, when):
                self._intake.hurry()

    def _note(self, board: Board, done: Sequence[Move]) -> None:
        figures.moved(done, board)
        board.note(done)
        self._restoring.done(move.key for move in done)
        self._unrecorded += [news.publication(move) for move in done]

    def _record(self, reign: Reign) -> None:
        """Tell SQL where the jobs are; what it could not be told is kept for the next round."""
        if not self._unrecorded:
            return

        def work(connection: Connection) -> None:
            leader.fence(connection, reign.epoch)
            jobs.publish(connection, self._unrecorded)

        self._store.transaction(work, writes=True)
        self._unrecorded = []

    def _even_out(self, reign: Reign, board: Board, clock: float) -> None:
        """Let nodes that have many jobs give some to those that have few, now and then."""
        assert self._rebalance is not None
        moved = self._rebalance.moves(board, clock, self._rules.run_lease, partial(self._place_at, reign))
        if moved:
            self._note(board, moved)
            self._record(reign)
            self._call_back(reign, board, moved)

    def _settle(self, reign: Reign, board: Board, now: datetime, clock: float) -> None:
        when = settle.When(now, clock, self._rules.run_lease)
        if board.abroad:
            settle.settle(self._tree, self._store, reign, board, when)
        for node, since in board.absent_since.items():
            if clock - since >= self._rules.run_lease and node not in self._buried:
                settle.settle_removed(self._store, reign, board, node, when)
                self._buried.add(node)
        self._buried &= board.absent_since.keys()
