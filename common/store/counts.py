"""How many jobs and runs there are, without reading what is over: that may be 100 million rows."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.model import JobStatus, RunState

from .schema import job, run

_PLACED = job.c.assigned_node.is_not(None)
_JOBS = (
    sa.select(job.c.status, _PLACED, sa.func.count())
    .where(job.c.ended_at.is_(None))
    .group_by(job.c.status, _PLACED)
)
UNFINISHED = tuple(state for state in RunState if not state.final)
# An index serves it whole.
_RUNS = sa.select(run.c.state, sa.func.count()).where(run.c.state.in_(UNFINISHED)).group_by(run.c.state)


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs that have not ended, by status and whether a node has them; and runs that have not, by state."""

    jobs: dict[tuple[JobStatus, bool], int]
    runs: dict[RunState, int]


def take(conn: Connection) -> Counts:
    """Count now. What there is none of is left out."""
    return Counts(
        {(status, bool(placed)): number for status, placed, number in conn.execute(_JOBS)},
        dict(conn.execute(_RUNS).all()),
    )
