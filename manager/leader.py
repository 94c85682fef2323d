"""The leader's step: observe the fleet, decide who gets which job, publish that. One thread, no waiting."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.lease import Lease
from cronkeeper.common.coordination.tree import Delete, Op, Tree
from cronkeeper.common.coordination.watch import ChildWatch
from cronkeeper.common.errors import Conflict, NotFound, Unavailable
from cronkeeper.common.model import ClaimName, Job, Run
from cronkeeper.common.store import jobs, leader, runs
from cronkeeper.common.store.jobs import Publication
from cronkeeper.common.store.store import Store
from cronkeeper.manager import dispatch, figures, news, settle
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Leadership, Reign
from cronkeeper.manager.moves import nodes_left, relocate
from cronkeeper.manager.placement import JobKey, place
from cronkeeper.manager.publish import Move, Placed, carry_out

log = logging.getLogger(__name__)

SCAN_EVERY = 5.0
"""Seconds between looks into SQL for what the tree did not tell of."""
SPACING = 0.05
"""Seconds that lie at least between two rounds: where many jobs come in, each round then places many."""
SCAN_PAGE = 1000
RETRY = 0.5
NO_JOBS: Mapping[JobKey, Job] = {}


@dataclass(frozen=True, slots=True)
class LeaderRules:
    """What a leader goes by, in seconds."""

    run_lease: float
    renew_every: float
    first_grace: float
    """How long a new leader gives a node that it has not seen yet, before it takes the node for dead."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What came in: jobs to look at, the changes that told of them (version by job), and queued runs."""

    jobs: Sequence[Job]
    changes: dict[int, int]
    queued: Sequence[Run]


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
        self.on_reign: Callable[[int | None], None] = _nobody
        """Called with the epoch of each reign of ours, and with None when it is over."""
        self._tree = tree
        self._store = store
        self._lease = lease
        self._rules = rules
        self._leadership = Leadership(tree, store, lease, name, notify=notify)
        self._changes_watch = ChildWatch(tree, paths.CHANGES, notify)
        self._live_watch = ChildWatch(tree, paths.LIVE, notify)
        self._reign: Reign | None = None
        self._board: Board | None = None
        self._stale = False
        self._buried: set[str] = set()
        """Dead nodes whose runs of removed jobs have been given up."""
        self._next_look = self._next_scan = 0.0
        self._scanned = 0
        """The last job that the scan has come to; 0: it begins anew."""
        self._unrecorded: list[Publication] = []
        self._complaint: str | None = None
        figures.watch(lease, lambda: self._reign, lambda: self._board)

    def step(self, now: datetime) -> float:
        """One round. Returns after how many seconds the next one is wanted, if nothing wakes it before."""
        clock = self._lease.now()
        try:
            reign = self._leadership.hold()
            if reign is not self._reign:  # others may have led meanwhile: nothing of before holds
                self._reign, self._board = reign, None
                self._buried, self._unrecorded = set(), []
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
        if self._in_time():
            self._settle(reign, board, now, clock)
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
            self._stale, self._next_look, self._next_scan = False, 0.0, 0.0
            self._board = board
        if self._live_watch.fired or clock >= self._next_look:
            self._live_watch.arm()
            if self._board.see_live(self._tree, clock):
                self._next_scan = 0.0
            self._next_look = clock + SCAN_EVERY
        return self._board

    def _fail_over(
        self, reign: Reign, board: Board, clock: float, edited: Mapping[JobKey, Job] = NO_JOBS
    ) -> None:
        """Move the jobs of dead nodes, if there is a live one to take them; `edited`: as they are now."""
        for node in sorted(board.absent_since) if board.live else ():
            placed = board.on(node)
            if not placed or (node not in board.seen and not self._waited_for(board, node, clock)):
                continue
            chosen = place(placed, board.load(), board.wanted, board.labels())
            if not chosen:
                continue
            moves = [
                Move(key, placed[key], self._place_at(reign, key, target), edited.get(key))
                for key, target in chosen.items()
            ]
            done = carry_out(self._tree, reign, moves, dead=node)
            self._note(board, done)
            told = "node %s is gone: %d of its %d jobs moved"
            log.warning(told, node, len(done), len(placed), extra={"node": node})
            dispatch.call_back(self._tree, self._store, reign, board, [node])

    def _fail_over_edited(self, reign: Reign, board: Board, found: Sequence[Job], clock: float) -> None:
        """Where an edit lets a job leave its dead node, nothing of the job as it was before runs elsewhere."""
        edited = {(job.id, 1): job for job in found if job.ended_at is None}
        if any(key in board.placed and board.placed[key].node in board.absent_since for key in edited):
            self._fail_over(reign, board, clock, edited)

    def _waited_for(self, board: Board, node: str, clock: float) -> bool:
        return clock - board.absent_since[node] >= self._rules.first_grace

    def _place_at(self, reign: Reign, key: JobKey, node: str) -> Placed:
        return Placed(node, ClaimName(*key, reign.generation()))

    def _take_in(self, reign: Reign, board: Board, now: datetime, clock: float) -> float:
        """Publish what is new, and send queued runs on their way. Returns when to look again, as `step`."""
        pending = self._pending(clock)
        if pending is None:
            return self._rules.renew_every
        for job in pending.jobs:
            board.know(job)
        self._fail_over_edited(reign, board, pending.jobs, clock)
        moves = self._moves(reign, board, pending.jobs)
        done = carry_out(self._tree, reign, moves, keep=partial(settle.keep, self._store, reign, now=now))
        self._note(board, done)
        moved = relocate(self._tree, self._store, reign, board, partial(self._place_at, reign))
        self._note(board, moved)
        self._unrecorded += news.of_waiting(board, pending.jobs)
        self._record(reign)
        left = nodes_left([*done, *moved])
        if left:
            self._buried.clear()
            if dispatch.call_back(self._tree, self._store, reign, board, left):
                self._next_scan = 0.0
        if moved:  # one look is at some of what is misplaced
            self._next_scan = 0.0
        for run in pending.queued:
            dispatch.dispatch(self._tree, self._store, reign, board, run, now)
        clean = self._drop_changes(reign, pending.changes)
        if len(done) < len(moves) or not clean:
            self._next_scan = 0.0
        if len(done) < len(moves):
            return RETRY
        return self._rules.renew_every if self._next_scan > clock else 0.0

    def _pending(self, clock: float) -> Pending | None:
        """What the front desk told of, and now and then what SQL alone knows."""
        scan = clock >= self._next_scan
        if not self._changes_watch.fired and not scan:
            return None
        self._changes_watch.arm()
        ids = [int(name) for name in self._tree.children(paths.CHANGES)]
        nodes = self._tree.get_many([paths.change(job_id) for job_id in ids])
        changes = {job_id: node.version for job_id, node in zip(ids, nodes, strict=True) if node is not None}

        def work(connection: Connection) -> tuple[list[Job], list[Job], list[Run]]:
            found = jobs.by_ids(connection, changes)
            page = jobs.unpublished(connection, self._scanned, SCAN_PAGE) if scan else []
            return page, list({job.id: job for job in (*found, *page)}.values()), runs.queued(connection)

        page, found, queued = self._store.transaction(work)
        if scan:
            # Some stay unpublished for long, as those do that wait for their node: the ones behind them come next.
            through = len(page) < SCAN_PAGE
            self._scanned = 0 if through else page[-1].id
            self._next_scan = clock + SCAN_EVERY if through else 0.0
        return Pending(found, changes, queued)

    def _moves(self, reign: Reign, board: Board, found: Sequence[Job]) -> list[Move]:
        """What is to be published, withdrawn or published again."""
        new = {(job.id, 1): job for job in found if job.ended_at is None and (job.id, 1) not in board.placed}
        moves = [
            Move(key, None, self._place_at(reign, key, node), new[key])
            for key, node in place(new, board.load(), board.wanted, board.labels()).items()
        ]
        for job in found:
            key = (job.id, 1)
            here = board.placed.get(key)
            if here is not None and job.ended_at is not None:
                moves.append(Move(key, here, None, job))
            elif here is None or here.node not in board.live or key in board.misplaced:
                continue
            elif job.rev > job.published_rev:
                moves.append(Move(key, here, self._place_at(reign, key, here.node), job))
        return moves

    def _note(self, board: Board, done: Sequence[Move]) -> None:
        figures.moved(done, board)
        board.note(done)
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

    def _drop_changes(self, reign: Reign, changes: dict[int, int]) -> bool:
        """Delete what was looked at, as it was then; False where some of it has been set again meanwhile."""
        batches: list[list[Op]] = [
            [reign.fence(), Delete(paths.change(job_id), version)] for job_id, version in changes.items()
        ]
        return all(error is None for error in self._tree.commit_many(batches))

    def _settle(self, reign: Reign, board: Board, now: datetime, clock: float) -> None:
        when = settle.When(now, clock, self._rules.run_lease)
        if board.abroad:
            settle.settle(self._tree, self._store, reign, board, when)
        for node, since in board.absent_since.items():
            if clock - since >= self._rules.run_lease and node not in self._buried:
                settle.settle_removed(self._store, reign, board, node, when)
                self._buried.add(node)
        self._buried &= board.absent_since.keys()


def _nobody(_epoch: int | None) -> None:
    """Until an owner has said whom to tell of reigns."""
