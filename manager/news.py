"""What SQL is told of where the jobs are, and what it has not heard yet."""

from collections.abc import Mapping

from sqlalchemy import Connection

from cronkeeper.common.model import Job
from cronkeeper.common.store import jobs
from cronkeeper.common.store.jobs import Publication
from cronkeeper.manager.board import Board
from cronkeeper.manager.publish import Move

NO_NODE = "no node is live"


def as_sql_knows(connection: Connection) -> tuple[dict[int, tuple[str | None, str | None]], dict[int, str]]:
    """Where each job was published, and which jobs may be on one node only."""
    return jobs.assignments(connection), jobs.bound(connection)


def unknown_to_sql(board: Board, known: Mapping[int, tuple[str | None, str | None]]) -> list[Publication]:
    """The moves of which SQL has not heard: their leader has ended, or lost the reply, in between."""
    return [
        publication(Move(key, None, placed))
        for key, placed in board.placed.items()
        if key[0] in known and known[key[0]] != (placed.node, str(placed.name.gen))
    ]


def publication(move: Move) -> Publication:
    """What SQL is told of a move."""
    target = move.target
    return Publication(
        job_id=move.key[0],
        rev=move.job.rev if move.job is not None else 0,
        node=target.node if target is not None else None,
        gen=str(target.name.gen) if target is not None else None,
        placement=None,
    )


def is_news(job: Job, board: Board) -> bool:
    """Whether the job is on no node, and SQL does not say so yet."""
    return (job.id, 1) not in board.placed and (job.ended_at is not None or job.placement != _no_node(job))


def nowhere(job: Job) -> Publication:
    """The job is on no node: because it has ended, or because there is none to take it, and then it waits."""
    ended = job.ended_at is not None
    return Publication(
        job_id=job.id,
        rev=job.rev if ended else 0,
        node=None,
        gen=None,
        placement=None if ended else _no_node(job),
    )


def _no_node(job: Job) -> str:
    return NO_NODE if job.node is None else f"node {job.node}, where alone it may run, is not live"
