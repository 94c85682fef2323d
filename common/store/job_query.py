"""Which jobs a list shows, in what order, and from where on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from cronkeeper.common.model import Job, JobStatus, JobType

from .schema import copy, job


class JobSort(StrEnum):
    """What a list of jobs goes by; each has an index, and jobs that are equal in it go by id."""

    ID = "id"
    NAME = "name"
    UPDATED_AT = "updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list; of the filters None is any. `name` is a part of it, in large or small letters.

    `beyond` is where the last page ended: its last job's value of `sort`, and its id.
    """

    limit: int = 500
    sort: JobSort = JobSort.ID
    descending: bool = False
    beyond: tuple[int | str | datetime, int] | None = None
    status: JobStatus | None = None
    type: JobType | None = None
    node: str | None = None
    name: str | None = None
    enabled: bool | None = None


def place(query: JobQuery, of: Job) -> tuple[int | str | datetime, int]:
    """Where a list stands that has this job as its last."""
    return getattr(of, query.sort.value), of.id


def narrowed(chosen: sa.Select[Any], query: JobQuery) -> sa.Select[Any]:
    """The statement for what is asked: a walk along one index, which ends once the page is full."""
    column = job.c[query.sort.value]
    if query.beyond is not None:
        value, job_id = query.beyond
        if query.descending:
            chosen = chosen.where(column <= value, sa.or_(column < value, job.c.id < job_id))
        else:
            chosen = chosen.where(column >= value, sa.or_(column > value, job.c.id > job_id))
    order = (column.desc(), job.c.id.desc()) if query.descending else (column, job.c.id)
    return chosen.where(*_filters(query)).order_by(*order).limit(query.limit)


def _filters(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    equal = {
        "status": query.status,
        "type": query.type,
        "enabled": query.enabled,
    }
    filters = [job.c[name] == value for name, value in equal.items() if value is not None]
    if query.node is not None:
        there = sa.and_(copy.c.job_id == job.c.id, copy.c.node == query.node, copy.c.gen.is_not(None))
        filters.append(sa.or_(job.c.assigned_node == query.node, sa.exists().where(there)))
    if query.name is not None:
        filters.append(job.c.name.icontains(query.name, autoescape=True))
    return filters
