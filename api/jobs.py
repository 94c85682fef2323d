"""Jobs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any

from flask import url_for

from cronkeeper.common.errors import Invalid, NotFound
from cronkeeper.common.model import Definition, Job, NewJob, replace
from cronkeeper.common.store.idempotency import Key
from cronkeeper.common.store.job_query import JobQuery, JobSort, place
from cronkeeper.manager import jobs, nodes
from cronkeeper.manager.jobs import Edit

from . import conditions, drafts, job_requests, job_schemas, paging
from .access import actor
from .blueprint import Blueprint
from .body import require_empty, take_absent_as_empty
from .ids import numbered
from .job_view import ShownJob, all_shown, shown, shown_new
from .rights import only_admins_say_run_as, only_who_has_the_right, require_right_to
from .services import services

log = logging.getLogger(__name__)

blueprint = Blueprint("jobs", __name__, description="What is to run, and when.")

Fields = dict[str, Any]
Answer = tuple[ShownJob, dict[str, str]]

_PLACES: Mapping[JobSort, Any] = {
    JobSort.ID: paging.Id,
    JobSort.NAME: str,
    JobSort.UPDATED_AT: paging.Micros,
}


def _body_is_optional(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def lenient(*args: Any, **kwargs: Any) -> Any:
        take_absent_as_empty()
        return view(*args, **kwargs)

    return lenient


@blueprint.route("/jobs", methods=["POST"])
@only_admins_say_run_as
@blueprint.arguments(job_schemas.NEW_JOB)
@blueprint.response(201, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IDEMPOTENCY_KEY])
def create(fields: Fields) -> Answer:
    """Create a job"""

    def draft(now: datetime) -> NewJob:
        new = drafts.whole(fields, services().timezone, now)
        _require_known(new.node)
        _store(fields)
        return new

    return _submitted(conditions.idempotency_key(), draft)


@blueprint.route("/jobs", methods=["GET"])
@blueprint.arguments(job_requests.JOBS_QUERY, location="query")
@blueprint.response(200, job_schemas.JOBS, headers=paging.LINK)
def listing(query: Fields) -> tuple[Sequence[ShownJob], Mapping[str, str]]:
    """List jobs, by id if nothing else is asked for

    While there may be more, the header Link names the next page.
    """
    wanted = _wanted(query)
    page = jobs.listing(services().desk, wanted)
    if len(page) < wanted.limit:
        return all_shown(page), {}
    value, job_id = place(wanted, page[-1])
    known = paging.micros(value) if isinstance(value, datetime) else value
    return all_shown(page), paging.next_page("jobs.listing", query["sort"], (known, job_id))


@blueprint.route("/jobs/<job_id>", methods=["GET"])
@blueprint.response(200, job_schemas.JOB, headers=conditions.ETAG)
def show(job_id: str) -> Answer:
    """Show a job"""
    return _answer(jobs.get(services().desk, numbered(job_id)))


@blueprint.route("/jobs/<job_id>", methods=["PATCH"])
@only_who_has_the_right
@only_admins_say_run_as
@blueprint.arguments(job_schemas.JOB_PATCH)
@blueprint.response(200, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IF_MATCH])
def change(fields: Fields, job_id: str) -> Answer:
    """Change some fields of a job

    A changed schedule, timezone or at, and a job that is enabled again, never make up for the past.
    """
    now = services().clock()
    return _edited(job_id, fields, lambda job: drafts.patched(job, fields, now))


@blueprint.route("/jobs/<job_id>", methods=["PUT"])
@only_who_has_the_right
@only_admins_say_run_as
@blueprint.arguments(job_schemas.NEW_JOB)
@blueprint.response(200, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IF_MATCH])
def redefine(fields: Fields, job_id: str) -> Answer:
    """Change a job to what is given here as a whole

    What is left out gets its default.
    """
    given, now = services(), services().clock()
    return _edited(job_id, fields, lambda job: drafts.whole(fields, given.timezone, now, job))


@blueprint.route("/jobs/<job_id>", methods=["DELETE"])
@only_who_has_the_right
@blueprint.response(204)
@blueprint.doc(parameters=[conditions.IF_MATCH])
def remove(job_id: str) -> None:
    """Remove a job

    It stays readable. A run in progress goes on to its end.
    """
    number, revs = numbered(job_id), conditions.expected_revs()
    now = services().clock()
    job = jobs.remove(services().desk, number, actor().name, now, revs=revs, check=require_right_to)
    log.info("job %d, %s, removed by %s", job.id, job.name, actor().name)


@blueprint.route("/jobs/<job_id>/pause", methods=["POST"])
@only_who_has_the_right
@blueprint.response(200, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IF_MATCH])
def pause(job_id: str) -> Answer:
    """Let a job be due no more until it is resumed

    A run in progress goes on to its end.
    """
    return _switched(job_id, "pause", enabled=False)


@blueprint.route("/jobs/<job_id>/resume", methods=["POST"])
@only_who_has_the_right
@blueprint.response(200, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IF_MATCH])
def resume(job_id: str) -> Answer:
    """Let a job be due again, from now on"""
    return _switched(job_id, "resume", enabled=True)


@blueprint.route("/jobs/<job_id>/duplicate", methods=["POST"])
@only_who_has_the_right
@_body_is_optional
@blueprint.arguments(job_requests.DUPLICATE, required=False)
@blueprint.response(201, job_schemas.JOB, headers=conditions.ETAG)
@blueprint.doc(parameters=[conditions.IDEMPOTENCY_KEY])
def duplicate(fields: Fields, job_id: str) -> Answer:
    """Create a job like this one"""
    number = numbered(job_id)

    def draft(now: datetime) -> NewJob:
        original = jobs.get(services().desk, number)
        require_right_to(original)
        new = drafts.copied(original, fields, now)
        _require_known(new.node)
        return new

    key = conditions.idempotency_key("duplicate", str(number))
    return _submitted(key, draft, f" as a copy of job {number}")


def _submitted(key: Key | None, draft: Callable[[datetime], NewJob], how: str = "") -> Answer:
    """The job that the draft becomes, or the one that an earlier request with this key has made."""
    desk, now = services().desk, services().clock()
    earlier = jobs.made_by(desk, key) if key is not None else None
    if earlier is not None:
        return _created(earlier, repeated=True)
    new = draft(now)
    if key is None:
        job, repeated = jobs.submit(desk, new, actor().name, now), False
    else:
        job, repeated = jobs.submit_once(desk, new, key, now)
    if not repeated:
        log.info("job %d, %s, created by %s%s", job.id, job.name, actor().name, how)
    return _created(job, repeated=repeated)


def _answer(job: Job) -> Answer:
    return shown(job), conditions.etag(job)


def _created(job: Job, *, repeated: bool) -> Answer:
    view = shown(job) if repeated else shown_new(job)
    headers = conditions.etag(job) | {"Location": url_for("jobs.show", job_id=job.id)}
    return view, headers | ({conditions.REPLAY: "true"} if repeated else {})


def _edited(job_id: str, fields: Fields, change: Callable[[Job], Definition]) -> Answer:
    """Change a job; its file is stored once all else is known to be right."""
    job = jobs.get(services().desk, numbered(job_id))
    require_right_to(job)
    new = change(job)
    if new.node != job.node:
        _require_known(new.node)
    _store(fields)
    return _do(job_id, "edit", change)


def _switched(job_id: str, action: str, *, enabled: bool) -> Answer:
    require_empty()
    return _do(job_id, action, lambda job: replace(job, enabled=enabled))


def _do(job_id: str, action: str, change: Callable[[Job], Definition]) -> Answer:
    def allowed(job: Job) -> Definition:
        require_right_to(job)
        return change(job)

    revs = conditions.expected_revs()
    edit = Edit(action=action, change=allowed, actor=actor().name, now=services().clock(), revs=revs)
    job = jobs.edit(services().desk, numbered(job_id), edit)
    log.info("job %d, %s: %s by %s, now at rev %d", job.id, job.name, action, actor().name, job.rev)
    return _answer(job)


def _require_known(node: str | None) -> None:
    """Raise `Invalid` for a node that was never added."""
    if node is None:
        return
    try:
        nodes.get(services().desk, node)
    except NotFound as error:
        complaint = f"{error}; accepted: the name of one that was added, or null"
        raise Invalid("not accepted as it is: node", {"node": [complaint]}) from error


def _store(fields: Fields) -> None:
    if isinstance(fields.get("executable"), bytes):
        services().desk.artifacts.put(fields["executable"])


def _wanted(query: Fields) -> JobQuery:
    """Raises: Invalid."""
    descending = query["sort"].startswith("-")
    sort = JobSort(query["sort"].removeprefix("-"))
    filters = {name: query[name] for name in ("status", "type", "node", "name", "enabled") if name in query}
    wanted = JobQuery(limit=query["limit"], sort=sort, descending=descending, **filters)
    if "after" in query:
        if query["sort"] != JobSort.ID or "cursor" in query:
            complaint = "only with sort id, and without cursor"
            raise Invalid("not accepted as it is: after", {"after": [complaint]})
        return replace(wanted, beyond=(query["after"], query["after"]))
    if "cursor" not in query:
        return wanted
    value, job_id = paging.place_of(query["cursor"], query["sort"], _PLACES[sort], paging.Id)
    return replace(wanted, beyond=(paging.instant(value) if sort is JobSort.UPDATED_AT else value, job_id))
