"""The copies of jobs that are on every node that will do. Of each there is a row for ever: its ticks are its own.

A copy goes by the number of its node. No other node ever has that number, and neither has the same one once it was
forgotten and added again: so the runs of a copy are those of one node.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import NotFound
from cronkeeper.common.model import ONLY, Copies, JobStatus

from .schema import copy, job, node

Key = tuple[int, int]
"""(job, copy)"""
UNKNOWN = -1
"""In place of a rev: the nodes know none."""
LOST = "lost"
"""In place of a generation: the claim went with the tree, and is to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One node's copy of a job. It counts for ticks later than `since`, up to before `until`."""

    job_id: int
    copy: int
    node: str
    since: datetime
    until: datetime | None
    gen: str | None
    """Of its last publication; None: it is on its node no more, or not yet."""
    published_rev: int


_COPY = sa.select(*(copy.c[name] for name in Copy.__dataclass_fields__))
_OPEN = copy.c.until.is_(None)
_THIS = sa.and_(copy.c.job_id == sa.bindparam("this_job"), copy.c.copy == sa.bindparam("this_copy"), _OPEN)


def number_nodes(conn: Connection) -> None:
    """Give each node that has none a number that no copy ever went by. Only the leader may, fenced."""
    new = list(conn.scalars(sa.select(node.c.name).where(node.c.number.is_(None)).order_by(node.c.name)))
    largest = (conn.scalar(sa.select(sa.func.max(column))) for column in (node.c.number, copy.c.copy))
    number = max(ONLY, *(each if each is not None else ONLY for each in largest))
    for name in new:
        number += 1
        which = sa.and_(node.c.name == name, node.c.number.is_(None))
        conn.execute(sa.update(node).where(which).values(number=number))


def begin(conn: Connection, nodes: Iterable[tuple[Key, str]], now: datetime) -> dict[Key, Copy]:
    """The copies of these keys on these nodes; new ones count from now on. Only the leader may, fenced."""
    wanted = dict(nodes)
    found = {(each.job_id, each.copy): each for each in of_jobs(conn, {job_id for job_id, _ in wanted})}
    new = [
        Copy(job_id=key[0], copy=key[1], node=name, since=now, until=None, gen=None, published_rev=0)
        for key, name in sorted(wanted.items())
        if key not in found
    ]
    if new:
        rows = [{name: getattr(each, name) for name in Copy.__dataclass_fields__} for each in new]
        conn.execute(sa.insert(copy), [row | {"bad": False, "status_moment": None} for row in rows])
    found |= {(each.job_id, each.copy): each for each in new}
    return {key: found[key] for key in wanted}


def open_keys(conn: Connection) -> set[Key]:
    """Of all copies that count."""
    return {
        (row.job_id, row.copy) for row in conn.execute(sa.select(copy.c.job_id, copy.c.copy).where(_OPEN))
    }


def begin_anew(conn: Connection, key: Key, now: datetime) -> None:
    """A copy that is on no node counts from now on."""
    gen = sa.case((copy.c.gen == LOST, copy.c.gen), else_=None)
    which = sa.and_(copy.c.job_id == key[0], copy.c.copy == key[1], _OPEN)
    conn.execute(sa.update(copy).where(which).values(since=now, gen=gen, published_rev=0))


def end_forgotten(conn: Connection, now: datetime) -> None:
    """The copies of nodes that were forgotten count no more, wherever their claims are."""
    known = sa.select(node.c.number).where(node.c.number.is_not(None)).scalar_subquery()
    gone = set(conn.scalars(sa.select(copy.c.copy).where(_OPEN, copy.c.copy.not_in(known)).distinct()))
    if gone:
        end(conn, gone, now)


def end(conn: Connection, numbers: Collection[int], now: datetime) -> None:
    """The nodes of these numbers were forgotten: their copies count no more."""
    which = sa.and_(_OPEN, copy.c.copy.in_(sorted(numbers)))
    concerned = set(conn.scalars(sa.select(copy.c.job_id).where(which)))
    conn.execute(sa.update(copy).where(which).values(until=now, gen=None))
    for job_id in sorted(concerned):
        _restate(conn, job_id, None)


def withdraw(conn: Connection, job_ids: Collection[int]) -> None:
    """No copy of these jobs is on a node any more."""
    for job_id in sorted(job_ids):
        conn.execute(sa.update(copy).where(copy.c.job_id == job_id, copy.c.gen.is_not(None)).values(gen=None))


def get(conn: Connection, key: Key) -> Copy:
    """Raises: NotFound."""
    row = conn.execute(_COPY.where(copy.c.job_id == key[0], copy.c.copy == key[1])).one_or_none()
    if row is None:
        raise NotFound(f"there is no copy {key[1]} of job {key[0]}")
    return Copy(**row._asdict())


def of_jobs(conn: Connection, job_ids: Collection[int]) -> list[Copy]:
    """All copies of these jobs, also those that count no more, by job and number."""
    ids, found = sorted(job_ids), []
    for first in range(0, len(ids), 500):
        chosen = _COPY.where(copy.c.job_id.in_(ids[first : first + 500])).order_by(copy.c.job_id, copy.c.copy)
        found += [Copy(**row._asdict()) for row in conn.execute(chosen)]
    return found


def of_node(conn: Connection, job_id: int, name: str) -> Copy | None:
    """The copy of the job that counts on this node, where there is one."""
    which = sa.and_(copy.c.job_id == job_id, copy.c.node == name, _OPEN)
    row = conn.execute(_COPY.where(which).order_by(copy.c.copy.desc()).limit(1)).one_or_none()
    return None if row is None else Copy(**row._asdict())


def assignments(conn: Connection) -> dict[Key, tuple[str | None, str | None]]:
    """As `jobs.assignments`, of every copy of a job that has not ended."""
    there = sa.select(copy.c.job_id, copy.c.copy, copy.c.node, copy.c.gen).where(_OPEN)
    open_ = there.join(job, job.c.id == copy.c.job_id).where(job.c.ended_at.is_(None))
    return {
        (row.job_id, row.copy): (None if row.gen is None else row.node, row.gen)
        for row in conn.execute(open_)
    }


def lose_claims(conn: Connection) -> None:
    """Those that are published are no more; nor are those that are parked, whose claims knew what had run."""
    open_ = sa.select(job.c.id).where(job.c.ended_at.is_(None)).scalar_subquery()
    conn.execute(sa.update(copy).where(_OPEN, copy.c.job_id.in_(open_)).values(gen=LOST, published_rev=0))


def publish(conn: Connection, publications: Sequence[dict[str, Any]]) -> None:
    """Note of each `this_job`, `this_copy` the `new_gen` and the `known_rev`, as `jobs.publish` does of jobs."""
    if not publications:
        return
    known, gen = sa.bindparam("known_rev", type_=sa.Integer), sa.bindparam("new_gen", type_=sa.String)
    newest = sa.case((known == UNKNOWN, 0), (copy.c.published_rev < known, known), else_=copy.c.published_rev)
    waits = sa.and_(copy.c.gen == LOST, gen.is_(None))
    values = {"published_rev": newest, "gen": sa.case((waits, copy.c.gen), else_=gen)}
    conn.execute(sa.update(copy).where(_THIS).values(values), publications)
    agree(conn, {each["this_job"] for each in publications})


def agree(conn: Connection, job_ids: Collection[int]) -> None:
    """A job is published as far as each of its copies is that lies on a node; and then nobody asks why it waits."""
    there = sa.and_(copy.c.job_id == job.c.id, _OPEN, copy.c.gen != LOST)
    oldest = sa.select(sa.func.min(copy.c.published_rev)).where(there).correlate(job).scalar_subquery()
    rev = sa.func.coalesce(oldest, job.c.rev)
    values = {"published_rev": rev, "unpublished": job.c.rev > rev}
    all_ = sa.and_(job.c.id == sa.bindparam("this_id"), job.c.copies == Copies.ALL)
    clear = sa.and_(all_, job.c.placement.is_not(None), oldest.is_not(None))
    ids = [{"this_id": job_id} for job_id in sorted(job_ids)]
    if ids:
        conn.execute(sa.update(job).where(all_).values(values), ids)
        conn.execute(sa.update(job).where(clear).values(placement=None), ids)


def note_outcome(conn: Connection, key: Key, moment: datetime, *, bad: bool) -> None:
    """Let the end of a run decide about its job: `error`, while the newest of any copy ended badly."""
    newest = sa.or_(copy.c.status_moment.is_(None), copy.c.status_moment <= moment)
    which = sa.and_(copy.c.job_id == key[0], copy.c.copy == key[1], newest)
    conn.execute(sa.update(copy).where(which).values(bad=bad, status_moment=moment))
    _restate(conn, key[0], moment)


def _restate(conn: Connection, job_id: int, moment: datetime | None) -> None:
    # Another copy's end may come in at this moment: whoever has the job second sees what the first one wrote.
    # The copy is written before: in the order in which `publish` and `withdraw` write.
    conn.execute(sa.select(job.c.id).where(job.c.id == job_id).with_for_update())
    bad = conn.scalar(sa.select(copy.c.copy).where(copy.c.job_id == job_id, _OPEN, copy.c.bad).limit(1))
    status = JobStatus.SCHEDULED if bad is None else JobStatus.ERROR
    open_ = sa.and_(job.c.id == job_id, job.c.ended_at.is_(None), job.c.status != status)
    values = {"status": status} if moment is None else {"status": status, "status_moment": moment}
    conn.execute(sa.update(job).where(open_).values(values))
