"""Jobs that are on every node that will do: each such node gets its copy, which never leaves it for another one.

A copy begins with the moment of its making as its watermark: no tick of before is due there. That moment is in SQL
before it is in the tree, so whoever leads next makes the same copy.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import Connection

from cronkeeper.common.coordination.tree import Tree
from cronkeeper.common.model import ONLY, Claim, Job
from cronkeeper.common.store import copies, jobs, leader, nodes
from cronkeeper.common.store.store import Store
from cronkeeper.manager import settle
from cronkeeper.manager.board import Board
from cronkeeper.manager.leadership import Reign
from cronkeeper.manager.placement import JobKey, place
from cronkeeper.manager.publish import NOWHERE, Move, Placed, carry_out
from cronkeeper.manager.restoring import Restoring

log = logging.getLogger(__name__)

MOST = 1000
"""Copies that are published or taken away in one round."""
PlaceAt = Callable[[JobKey, str], Placed]


class Copying:
    """One round's look at them."""

    def __init__(self, tree: Tree, store: Store, reign: Reign, board: Board, restoring: Restoring) -> None:
        self._tree = tree
        self._store = store
        self._reign = reign
        self._board = board
        self._restoring = restoring
        self._through: list[Job] = []
        """The jobs of which all copies know what they are now."""

    def step(self, when: settle.When, place_at: PlaceAt) -> tuple[list[Move], bool]:
        """Carry out what is to be done, and return that, and whether something is left for the next round.

        Raises: Unavailable, Conflict.
        """
        self._number_nodes()
        moves = self._of_orphans(when) + self._of_known(place_at)
        room = MOST - len(moves)
        made = self._of_new(when, place_at, room) if room > 0 else []
        todo = moves[:MOST] + made
        keep = partial(settle.keep, self._store, self._reign, now=when.now)
        done = carry_out(self._tree, self._reign, todo, keep=keep)
        complete = len(done) == len(moves) + len(made)
        if complete:
            self._through = list(self._board.everywhere.looks.values())
            self._board.everywhere.looks.clear()
        return done, not complete or room <= 0 or len(made) == room or self._restoring.pending

    def agree(self) -> None:
        """Let SQL say that the jobs are published; to be called once it knows what was done."""
        if not self._through:
            return

        def work(connection: Connection) -> None:
            leader.fence(connection, self._reign.epoch)
            # Whoever withdrew the copies of a job that has ended may not have come to say so.
            copies.withdraw(connection, {job.id for job in self._through if job.ended_at is not None})
            copies.agree(connection, {job.id for job in self._through})

        self._store.transaction(work, writes=True)

    def _number_nodes(self) -> None:
        """As soon as some job needs it."""
        seen = self._board.everywhere
        if not seen.jobs or self._board.known <= seen.numbers.keys():
            return

        def work(connection: Connection) -> nodes.Roll:
            leader.fence(connection, self._reign.epoch)
            copies.number_nodes(connection)
            return nodes.roll(connection)

        self._board.know_nodes(self._store.transaction(work, writes=True))

    def _of_orphans(self, when: settle.When) -> list[Move]:
        """Copies whose node was forgotten end."""
        if not self._board.everywhere.news:
            return []

        def work(connection: Connection) -> None:
            leader.fence(connection, self._reign.epoch)
            copies.end_forgotten(connection, when.now)

        self._store.transaction(work, writes=True)
        orphans = self._board.everywhere.orphans()
        self._board.everywhere.news = bool(orphans)
        return [Move(key, self._board.placed[key], None) for key in orphans]

    def _of_known(self, place_at: PlaceAt) -> list[Move]:
        """The copies of jobs that were edited or have ended; those that are parked learn it when they go home."""
        looks = list(self._board.everywhere.looks.values())
        if not looks:
            return []
        ids = {job.id for job in looks}
        rows = self._store.transaction(lambda connection: copies.of_jobs(connection, ids))
        revs = {(row.job_id, row.copy): row.published_rev for row in rows}
        moves = []
        for job in looks:
            if (other := (job.id, ONLY)) in self._board.placed:  # of a job that had this number before
                moves.append(Move(other, self._board.placed[other], None, job))
            for key in self._board.everywhere.there(job.id):
                here = self._board.placed[key]
                if self._board.everywhere.is_orphan(key):
                    continue
                if job.ended_at is not None:
                    moves.append(Move(key, here, None, job))
                elif here.node != NOWHERE and key not in self._board.misplaced and revs.get(key, 0) < job.rev:
                    moves.append(Move(key, here, place_at(key, here.node), job))
        return moves

    def _of_new(self, when: settle.When, place_at: PlaceAt, room: int) -> list[Move]:
        """The copies that are nowhere yet, on nodes that will do and have room."""
        due = self._board.everywhere.due
        for key in [key for key, node in due.items() if not self._board.may_have_jobs(node)]:
            del due[key]  # it is looked at again when it is back
        if not due:
            return []
        chosen = dict(islice(place(due, self._board.demand, self._board.sites()).items(), room))
        whole, since = self._begin(chosen, when)
        claims = {key: Claim(watermark=moment) for key, moment in since.items()}
        claims |= self._restoring.claims(self._tree, self._store, self._board, whole, when)
        return [
            Move(key, None, place_at(key, chosen[key]), job, claim=claims[key])
            for key, job in whole.items()
            if key in claims
        ]

    def _begin(
        self, chosen: Mapping[JobKey, str], when: settle.When
    ) -> tuple[dict[JobKey, Job], dict[JobKey, datetime]]:
        """Write the copies down; returns their jobs, and since when those count whose claim was never made."""
        if not chosen:
            return {}, {}

        def work(connection: Connection) -> tuple[dict[int, Job], dict[JobKey, copies.Copy]]:
            leader.fence(connection, self._reign.epoch)
            found = {job.id: job for job in jobs.by_ids(connection, {job_id for job_id, _ in chosen})}
            wanted = [(key, node) for key, node in chosen.items() if found[key[0]].ended_at is None]
            return found, copies.begin(connection, wanted, when.now)

        found, begun = self._store.transaction(work, writes=True)
        whole = {key: found[key[0]] for key in begun}
        new = {key: copy.since for key, copy in begun.items() if not self._restoring.waits(key, whole[key])}
        return whole, new
