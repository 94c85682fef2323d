"""Runs that SQL calls unfinished and nobody has: not the node, by its own word, and no claim. They are lost.

Mostly a claim leads to them, see `settle`. But it lists a bounded number of ends, goes with a removed job, and an
older copy of SQL tells of runs that have left it long since; or it has forgotten that one had ended which a claim
elsewhere still lists. So none of them is run again, whatever its policy: it may have succeeded, and told so.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from cronkeeper.common import metrics
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Node, Tree
from cronkeeper.common.facts import Facts
from cronkeeper.common.model import Claim, Report, Run, RunState, decode
from cronkeeper.common.store import jobs, leader, runs
from cronkeeper.common.store.store import Store
from cronkeeper.manager.reports import note_end

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Suspect:
    """When nobody was seen to have the run for the first time, and the version of its node's facts then."""

    since: datetime
    facts: int


class Strays:
    """One manager's memory of them: a run is lost that nobody has twice, `patience` apart."""

    def __init__(self, tree: Tree, store: Store, patience: timedelta) -> None:
        self._tree = tree
        self._store = store
        self._patience = patience
        self._suspects: dict[str, dict[str, _Suspect]] = {}
        """By node and run."""

    def look(self, node: str, epoch: int, now: datetime) -> None:
        """One look at the runs of a node. Raises: Unavailable, Conflict."""
        seen = self._suspects.pop(node, {})
        old = [run for run in self._unfinished(node) if run.created_at < now - self._patience]
        if not old:
            return
        self._tree.sync()
        live, told = self._tree.get_many([paths.live(node), paths.facts(node)])
        missing = _missing(old, live, told)
        if not missing:
            return
        claims = claims_of(self._tree, {(run.job_id, run.copy) for run in missing})
        claimed = _seen_to(claims.values(), None if live is None else node)
        facts = -1 if told is None else told.version
        nobodys = {run.id: run for run in missing if run.id not in claimed}
        suspects = {run_id: seen.get(run_id, _Suspect(now, facts)) for run_id in nobodys}
        lost = [
            nobodys[run_id]
            for run_id, suspect in suspects.items()
            if now - suspect.since >= self._patience and (live is None or suspect.facts != facts)
        ]
        if lost:
            why = "is gone" if live is None else "knows nothing of it any more"
            self._give_up(lost, f"node {node} {why}, and no claim lists it", epoch, now)
        self._suspects[node] = {run_id: suspects[run_id] for run_id in suspects.keys() - {r.id for r in lost}}

    def _unfinished(self, node: str) -> list[Run]:
        return self._store.transaction(lambda connection: runs.unfinished_on(connection, node))

    def _give_up(self, lost: Sequence[Run], reason: str, epoch: int, now: datetime) -> None:
        def work(connection: Connection) -> list[Run]:
            leader.fence(connection, epoch)
            ended = runs.record_many(connection, [_lost(run, reason, now) for run in lost], now)
            for run in ended:
                note_end(connection, jobs.get(connection, run.job_id), run, now)
            return ended

        ended = self._store.transaction(work, writes=True)
        metrics.RUNS_LOST.inc(len(ended))
        for run in ended:
            log.warning("run %s is lost: %s", run.id, reason, extra={"run": run.id})


def _missing(old: Iterable[Run], live: Node | None, told: Node | None) -> list[Run]:
    """What the node does not have, by its own word: all where it is gone, nothing where it does not say."""
    if live is None:
        return list(old)
    here = decode(told.data, Facts).runs if told is not None else None
    return [] if here is None else [run for run in old if run.id not in here]


def claims_of(tree: Tree, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], tuple[str, Claim]]:
    """The claims of these copies of jobs, and the node that has each ("": it is parked). Raises: Unavailable."""
    nodes = tree.children(paths.NODES)
    folders = [paths.claims(node) for node in nodes]
    held = [
        (_key(name), node, f"{paths.claims(node)}/{name}")
        for node, some in zip(nodes, tree.children_many(folders), strict=True)
        for name in some or ()
        if _key(name) in wanted
    ]
    places = [*((key, "", paths.parked(*key)) for key in wanted), *held]
    found = zip(places, tree.get_many([path for _, _, path in places]), strict=True)
    return {key: (node, decode(there.data, Claim)) for (key, node, _), there in found if there is not None}


def _seen_to(claims: Iterable[tuple[str, Claim]], knows: str | None) -> set[str]:
    """The runs that claims list, and that somebody sees to.

    `knows`: a live node, whose word counts more than what claims elsewhere list of it without an end.
    """
    return {
        run.run_id
        for node, claim in claims
        for run in claim.unfinished
        if knows is None or run.node != knows or not run.goes_on or node == knows
    }


def _key(name: str) -> tuple[int, int]:
    job_id, copy, _ = name.split(".", 2)
    return int(job_id), int(copy)


def _lost(run: Run, reason: str, now: datetime) -> Report:
    return Report(
        run_id=run.id,
        job_id=run.job_id,
        copy=run.copy,
        tick=run.tick,
        attempt=run.attempt,
        gen=run.gen if run.gen is not None else "",
        node=run.node if run.node is not None else "",
        started_by=run.started_by,
        state=RunState.LOST,
        ended_at=now,
        reason=reason,
    )
