"""What SQL is told of where the jobs are, and what it has not heard yet."""

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cronkeeper.common.labels import shown
from cronkeeper.common.model import ONLY, Copies, Job
from cronkeeper.common.store import jobs, nodes
from cronkeeper.common.store.jobs import Publication
from cronkeeper.common.store.schema import REASON_LENGTH
from cronkeeper.manager.board import Board
from cronkeeper.manager.placement import JobKey, Site, Wants, wants
from cronkeeper.manager.publish import NOWHERE, Move, Placed

log = logging.getLogger(__name__)

NO_NODE = "no node is live"
NAMED = 5
"""How many nodes are named where all of them are meant."""
Assignments = Mapping[JobKey, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Known:
    """What SQL knows of the jobs that have not ended."""

    assignments: Assignments
    """Where each was published: node and generation."""
    demands: Sequence[tuple[int, str | None, dict[str, str], Copies]]
    told: dict[int, str]
    """What people are told of where it is, by the ids."""
    strangers: frozenset[int]
    """Jobs of which the tree tells, and SQL knows nothing at all."""
    nodes: nodes.Roll


def as_sql_knows(board: Board, unrecorded: Iterable[Publication], connection: Connection) -> Known:
    """All that a new picture needs of SQL."""
    assignments = jobs.assignments(connection)
    others = {job_id for job_id, _ in board.placed} | {each.job_id for each in unrecorded}
    others -= {job_id for job_id, _ in assignments}
    strangers = others - {job.id for job in jobs.by_ids(connection, others)}
    return Known(
        assignments,
        jobs.demands(connection),
        jobs.explained(connection),
        strangers=frozenset(strangers),
        nodes=nodes.roll(connection),
    )


def agree(board: Board, known: Known, unrecorded: Iterable[Publication]) -> list[Publication]:
    """Let the picture be what tree and SQL make of it together; returns what SQL is to be told.

    The claim of a job that SQL does not know is left alone: perhaps SQL was put back to an earlier day.
    """
    for key in [key for key in board.placed if key[0] in known.strangers]:
        log.error("claim %s is left alone: there is no job %d in SQL", board.placed[key].claim, key[0])
        board.forget(key)
    board.know_nodes(known.nodes)
    board.know_all(known.demands)
    board.told = dict(known.told)
    moves = [
        publication(Move(key, None, placed))
        for key, placed in board.placed.items()
        if key in known.assignments and known.assignments[key] != _assignment(placed)
    ]
    due = [each for each in unrecorded if each.job_id not in known.strangers] + moves
    for each in due:
        board.told.pop(each.job_id, None)
        if each.placement is not None:
            board.told[each.job_id] = each.placement
    return due


def publication(move: Move) -> Publication:
    """What SQL is told of a move."""
    node, gen = _assignment(move.target) if move.target is not None else (None, None)
    rev = move.job.rev if move.job is not None and not move.resting else 0
    job_id, copy = move.key
    return Publication(job_id=job_id, rev=rev, node=node, gen=gen, placement=None, copy=copy)


def unpublished(key: JobKey, placed: Placed) -> Publication:
    """The job is where it was, and what it is there is none of its revs."""
    node, gen = _assignment(placed)
    return Publication(job_id=key[0], rev=jobs.UNKNOWN, node=node, gen=gen, placement=None, copy=key[1])


class Reasons:
    """Why no live node will do; each demand is looked at once."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._sites = board.sites()
        self._drained = board.drained_sites()
        self._known: dict[Wants, str | None] = {}

    def of(self, demand: Wants) -> str | None:
        """None where a node will do and has room."""
        if demand not in self._known:
            self._known[demand] = self._drained_from(demand) or _no_node(
                demand, self._sites, self._board.known
            )
        return self._known[demand]

    def _drained_from(self, demand: Wants) -> str | None:
        """Where what keeps the job from its nodes is that they are drained."""
        if demand.node is not None and demand.node in self._board.drained:
            return f"node {demand.node}, where alone it may run, is drained"
        if demand.met_by(self._sites) or not (able := demand.met_by(self._drained)):
            return None
        return f"every live node that will do is drained: {_some(sorted(site.name for site in able))}"

    def of_job(self, job: Job) -> str | None:
        """Why a job that is not placed waits."""
        return self.of(wants(job.node, job.requires))


def of_waiting(board: Board, found: Iterable[Job]) -> list[Publication]:
    """What is new of jobs that wait: of those that were found and are on no node, and of those on a wrong one."""
    reasons = Reasons(board)
    waiting = [_nowhere(job, reasons) for job in found if _is_news(job, board, reasons)]
    return waiting + _explanations(board, reasons)


def _is_news(job: Job, board: Board, reasons: Reasons) -> bool:
    """Whether the job is on no node, and SQL does not say so yet."""
    if (job.id, ONLY) in board.placed:
        return False
    if job.copies is Copies.ALL and (job.ended_at is not None or board.everywhere.there(job.id)):
        return False
    return job.ended_at is not None or job.placement != reasons.of_job(job)


def _nowhere(job: Job, reasons: Reasons) -> Publication:
    """The job is on no node: because it has ended, or because there is none to take it, and then it waits."""
    ended = job.ended_at is not None
    return Publication(
        job_id=job.id,
        rev=job.rev if ended else 0,
        node=None,
        gen=None,
        placement=None if ended else reasons.of_job(job),
    )


def _explanations(board: Board, reasons: Reasons) -> list[Publication]:
    """What people are to be told of jobs that are not where they should be, and of those that are again."""
    due = dict(_explained(board, reasons))
    over = [key for job_id in board.told if (key := (job_id, ONLY)) in board.placed and key not in due]
    changed = [(key, text) for key, text in due.items() if board.told.get(key[0]) != text]
    for key, text in changed:
        board.told[key[0]] = text
    for key in over:
        del board.told[key[0]]
    return [_told(board, key, text) for key, text in [*changed, *((key, None) for key in over)]]


def _no_node(demand: Wants, sites: Mapping[str, Site], known: Container[str]) -> str | None:
    able = demand.met_by(sites)
    if able:
        return _all_full(able)
    if demand.node is not None and demand.node not in sites:
        gone = f"node {demand.node}, where alone it may run, is not live"
        return gone if demand.node in known else f"there is no node {demand.node}, where alone it may run"
    if not sites:
        return NO_NODE
    if demand.node is not None:
        lacks = _labels(demand.lacking(sites[demand.node].labels))
        return f"node {demand.node}, where alone it may run, lacks {lacks}"[:REASON_LENGTH]
    return f"no live node has {_labels(demand.labels)}"[:REASON_LENGTH]


def _all_full(sites: Sequence[Site]) -> str | None:
    """The same words as long as nobody changes a capacity: they are not to be written again with every move."""
    if not all(site.full for site in sites):
        return None
    named = sorted(
        f"{site.name} ({'its clock is off' if site.closed else f'capacity {site.capacity}'})"
        for site in sites
    )
    return f"every node that will do is full: {_some(named)}"


def _some(names: Sequence[str]) -> str:
    others = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{others}"


def _explained(board: Board, reasons: Reasons) -> Iterable[tuple[JobKey, str]]:
    """The jobs on which there is something to say, and that."""
    for key in board.misplaced:
        if key[1] != ONLY:  # what there is to say of its other copies?
            continue
        demand, until = board.demand(key), board.resting.get(key)
        why = reasons.of(demand)
        if until is not None:
            here = board.placed[key].node
            if why is None and here in board.drained:
                yield key, f"moves when {until}: node {here} is drained"
            else:
                yield key, _leaves(here, until, demand, why)[:REASON_LENGTH]
        elif why is not None:
            yield key, why
    for node in board.absent_since if board.live else ():
        for key in board.on(node):
            if key[1] == ONLY and (why := reasons.of(board.demand(key))) is not None:
                yield key, why


def _leaves(here: str, until: str, demand: Wants, why: str | None) -> str:
    if why is not None:
        return f"leaves node {here} when {until}: {why}"
    there = "another node"
    if demand.node is not None:
        there = f"node {demand.node}"
    elif demand.labels:
        there = f"a node with {_labels(demand.labels)}"
    return f"moves to {there} when {until}"


def _told(board: Board, key: JobKey, text: str | None) -> Publication:
    node, gen = _assignment(board.placed[key])
    return Publication(job_id=key[0], rev=0, node=node, gen=gen, placement=text)


def _assignment(placed: Placed) -> tuple[str | None, str | None]:
    return (None, None) if placed.node == NOWHERE else (placed.node, str(placed.name.gen))


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return f"the label{'s' if len(labels) > 1 else ''} {shown(labels)}"
