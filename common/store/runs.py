"""Runs in SQL: what was asked for by hand, and what the nodes report."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Output, Report, Run, RunState

from .advance import advance
from .jobs import chunks
from .schema import REASON_LENGTH, Stream, job, run, run_output

__all__ = ["Stream", "advance"]

_FIELDS = tuple(field.name for field in fields(Run))
_ROUNDS = 10
"""How often reports are tried whose runs change under our hands; each round another process got ahead."""
_BATCH_BYTES = 1024 * 1024
"""Bytes of output in one statement: a server takes 16 MiB by default."""
_REPORTED = (
    "state",
    "started_by",
    "node",
    "gen",
    "claimed_at",
    "started_at",
    "ended_at",
    "exit_code",
    "reason",
    "first_tick",
)
_ADVANCE = (
    sa.update(run)
    .where(run.c.id == sa.bindparam("this_id"), run.c.state == sa.bindparam("old_state"))
    .values({name: sa.bindparam("new_" + name) for name in _REPORTED})
)
_BY_IDS = sa.select(run).where(run.c.id.in_(sa.bindparam("ids", expanding=True)))
# One step into an index for each job, however long its history is.
_NEWEST_OF_ONE = (
    sa.select(run.c.id)
    .where(run.c.job_id == job.c.id)
    .order_by(run.c.created_at.desc(), run.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_NEWEST = sa.select(_NEWEST_OF_ONE).where(job.c.id.in_(sa.bindparam("ids", expanding=True)))
_LAST_TICK = (
    sa.select(run.c.tick)
    .where(run.c.id >= sa.bindparam("first"), run.c.id < sa.bindparam("behind"))
    .order_by(run.c.id.desc())
    .limit(1)
)
_UNENDED = (RunState.QUEUED, RunState.CLAIMED, RunState.RUNNING)


def request(conn: Connection, new: Run) -> bool:
    """Queue a run that was asked for by hand; False where it is known already, which leaves it as it is."""
    if _insert(conn, [new]):
        return True
    get(conn, new.id)
    return False


def get(conn: Connection, run_id: str) -> Run:
    """Raises: NotFound."""
    found = by_ids(conn, [run_id])
    if not found:
        raise NotFound(f"there is no run {run_id}")
    return found[run_id]


def by_ids(conn: Connection, run_ids: Iterable[str]) -> dict[str, Run]:
    """Those of the runs that exist, by their ids."""
    found = (of_rows(conn, _BY_IDS, {"ids": chunk}) for chunk in chunks(run_ids))
    return {one.id: one for some in found for one in some}


def listing(
    conn: Connection,
    job_id: int,
    *,
    limit: int = 100,
    state: RunState | None = None,
    node: str | None = None,
    before: tuple[datetime, str] | None = None,
) -> list[Run]:
    """Up to `limit` runs of a job, newest first; `before` is `created_at` and `id` of the last one shown."""
    chosen = sa.select(run).where(run.c.job_id == job_id)
    if state is not None:
        chosen = chosen.where(run.c.state == state)
    if node is not None:
        chosen = chosen.where(run.c.node == node)
    if before is not None:
        moment, run_id = before
        older = sa.or_(run.c.created_at < moment, run.c.id < run_id)
        chosen = chosen.where(run.c.created_at <= moment, older)
    return of_rows(conn, chosen.order_by(run.c.created_at.desc(), run.c.id.desc()).limit(limit))


def newest(conn: Connection, job_ids: Iterable[int]) -> dict[int, Run]:
    """The newest run of each of the jobs that has one, by the job's id."""
    ids = [run_id for chunk in chunks(job_ids) for run_id in conn.scalars(_NEWEST, {"ids": chunk})]
    found = by_ids(conn, (run_id for run_id in ids if run_id is not None))
    return {one.job_id: one for one in found.values()}


def newest_ticks(conn: Connection, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], datetime]:
    """The last tick known of each of these (job, copy), whatever became of it: by the ids, which begin so."""
    found = {key: conn.scalar(_LAST_TICK, _ids_of_ticks(*key)) for key in keys}
    return {key: tick for key, tick in found.items() if tick is not None}


def _ids_of_ticks(job_id: int, copy: int) -> dict[str, str]:
    """Between which ids those of the ticks lie: digits come before the letters of runs by hand."""
    return {"first": f"{job_id}.{copy}.0", "behind": f"{job_id}.{copy}.:"}


def output(conn: Connection, run_id: str, stream: Stream) -> Output | None:
    """What the run wrote to one stream, as far as it was reported."""
    which = sa.and_(run_output.c.run_id == run_id, run_output.c.stream == stream)
    row = conn.execute(sa.select(run_output).where(which)).one_or_none()
    return None if row is None else Output(size=row.size, data=bytes(row.data), stored=row.stored)


def queued(conn: Connection, limit: int = 1000) -> list[Run]:
    """Up to `limit` runs that wait for the leader to send them to a node, oldest first."""
    waiting = sa.select(run).where(run.c.state == RunState.QUEUED, run.c.gen.is_(None))
    return of_rows(conn, waiting.order_by(run.c.created_at, run.c.id).limit(limit))


def waiting(conn: Connection, job_id: int) -> int:
    """How many runs of the job were asked for and have not begun."""
    which = sa.and_(run.c.state == RunState.QUEUED, run.c.job_id == job_id)
    return conn.scalar(sa.select(sa.func.count()).select_from(run).where(which)) or 0


def dispatched(conn: Connection, run_id: str, node: str, gen: str) -> bool:
    """Note that a queued run is in a node's inbox; False where it is no longer queued."""
    which = sa.and_(run.c.id == run_id, run.c.state == RunState.QUEUED)
    return conn.execute(sa.update(run).where(which).values(node=node, gen=gen)).rowcount == 1


def undispatch(conn: Connection, run_ids: Iterable[str]) -> None:
    """Let those of the runs that are still queued wait for another node."""
    for chunk in chunks(sorted(run_ids)):
        which = sa.and_(run.c.id.in_(chunk), run.c.state == RunState.QUEUED)
        conn.execute(sa.update(run).where(which).values(node=None, gen=None))


def undispatch_all(conn: Connection) -> None:
    """Let every run that is still queued wait to be sent, whether it was sent before or not."""
    which = sa.and_(run.c.state == RunState.QUEUED, run.c.gen.is_not(None))
    conn.execute(sa.update(run).where(which).values(node=None, gen=None))


def unfinished_on(conn: Connection, node: str) -> list[Run]:
    """The runs that a node has claimed or started and not ended."""
    states = (RunState.CLAIMED, RunState.RUNNING)
    return of_rows(conn, sa.select(run).where(run.c.state.in_(states), run.c.node == node))


def unfinished_of(conn: Connection, job_ids: Iterable[int]) -> list[Run]:
    """The runs of these jobs that a node has claimed or started and not ended."""
    states = run.c.state.in_((RunState.CLAIMED, RunState.RUNNING))
    some = (sa.and_(run.c.job_id.in_(chunk), states, run.c.node.is_not(None)) for chunk in chunks(job_ids))
    return [
        found for which in some for found in of_rows(conn, sa.select(run).where(which).order_by(run.c.id))
    ]


def nodes_of_unfinished(conn: Connection) -> list[str]:
    """The nodes that have claimed or started runs which have not ended."""
    unended = sa.and_(run.c.state.in_((RunState.CLAIMED, RunState.RUNNING)), run.c.node.is_not(None))
    return list(conn.scalars(sa.select(run.c.node).where(unended).distinct().order_by(run.c.node)))


def lose(conn: Connection, run_id: str, reason: str, now: datetime) -> bool:
    """Give up a run that has not ended; False where it has."""
    which = sa.and_(run.c.id == run_id, run.c.state.in_(_UNENDED))
    values = {"state": RunState.LOST, "reason": reason[:REASON_LENGTH], "ended_at": now}
    return conn.execute(sa.update(run).where(which).values(values)).rowcount == 1


def record(conn: Connection, report: Report, now: datetime) -> Run | None:
    """`record_many` of one: the run as it is now, or None where the report says nothing new."""
    changed = record_many(conn, [report], now)
    return changed[0] if changed else None


def record_many(conn: Connection, reports: Sequence[Report], now: datetime) -> list[Run]:
    """Let each run become what was reported of it; return those that changed, as they are now.

    Reports may be repeated, late and in any order. Another process may be recording the same ones: a run is
    only changed in the state that it was read in, and read again where it no longer was.

    Raises:
        Conflict: the runs kept changing.
    """
    pending: dict[str, list[Report]] = {}
    for report in reports:
        pending.setdefault(report.run_id, []).append(report)
    changed: list[Run] = []
    for _ in range(_ROUNDS):
        known = by_ids(conn, pending)
        # In the same order everywhere, so that two batches wait for each other and do not deadlock.
        steps = [_step(known.get(run_id), pending[run_id], now) for run_id in sorted(pending)]
        steps = [step for step in steps if step.new != step.old]
        changed += _write(conn, steps)
        written = {one.id for one in changed}
        pending = {step.new.id: pending[step.new.id] for step in steps if step.new.id not in written}
        if not pending:
            return changed
    raise Conflict(f"{len(pending)} of the reported runs kept changing, such as {min(pending)}")


@dataclass(frozen=True, slots=True)
class _Step:
    """One run before and after all that was reported of it, and the outputs that came with that."""

    old: Run | None
    new: Run
    outputs: dict[Stream, Output]


def _step(old: Run | None, reports: Sequence[Report], now: datetime) -> _Step:
    new = old
    outputs: dict[Stream, Output] = {}
    for report in reports:
        after = advance(new, report, now)
        if after is not None:
            new = after
            outputs |= {Stream.STDOUT: report.stdout} if report.stdout is not None else {}
            outputs |= {Stream.STDERR: report.stderr} if report.stderr is not None else {}
    assert new is not None
    return _Step(old, new, outputs)


def _write(conn: Connection, steps: Sequence[_Step]) -> list[Run]:
    """Write the steps whose runs are still as they were read, and return those runs as they are now."""
    born = [step for step in steps if step.old is None]
    if born and not _insert(conn, [step.new for step in born]):
        born = []
    advanced = [step for step in steps if step.old is not None and _update(conn, step.old, step.new)]
    _save_outputs(conn, born, advanced)
    return [step.new for step in born + advanced]


def _insert(conn: Connection, new: Sequence[Run]) -> bool:
    """All of them, or none and False where one of them is there already.

    No savepoint is needed: MySQL gets them as one statement, and in SQLite nobody can have come in between.
    (Worse, a deadlock would take the savepoint away, and going back to it would hide the deadlock.)
    """
    try:
        conn.execute(sa.insert(run), [{name: getattr(one, name) for name in _FIELDS} for one in new])
    except sa.exc.IntegrityError:
        return False
    return True


def _update(conn: Connection, old: Run, new: Run) -> bool:
    values = {"new_" + name: getattr(new, name) for name in _REPORTED}
    return conn.execute(_ADVANCE, {"this_id": old.id, "old_state": old.state} | values).rowcount == 1


def _save_outputs(conn: Connection, born: Sequence[_Step], advanced: Sequence[_Step]) -> None:
    for stream in Stream:
        replaced = (step.new.id for step in advanced if stream in step.outputs)
        for ids in chunks(replaced):
            which = sa.and_(run_output.c.stream == stream, run_output.c.run_id.in_(ids))
            conn.execute(sa.delete(run_output).where(which))
    for rows in _rows([*born, *advanced]):
        conn.execute(sa.insert(run_output), rows)


def _rows(steps: Iterable[_Step]) -> Iterator[list[dict[str, Any]]]:
    """The outputs as rows, in batches of bounded size."""
    rows: list[dict[str, Any]] = []
    size = 0
    for step in steps:
        for stream, out in step.outputs.items():
            row = {"run_id": step.new.id, "stream": stream, "size": out.size, "data": out.data}
            rows.append(row | {"stored": out.stored})
            size += len(out.data)
            if size >= _BATCH_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def of_rows(conn: Connection, chosen: sa.Select[Any], values: dict[str, Any] | None = None) -> list[Run]:
    """The runs that a selection of whole rows finds."""
    return [Run(**row._asdict()) for row in conn.execute(chosen, values)]
