"""Jobs."""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from flask import url_for

from cronkeeper.common.errors import Invalid, NotFound
from cronkeeper.common.model import Artifact, Job, JobType, NewJob
from cronkeeper.common.schedule import parse
from cronkeeper.manager import jobs

from . import schemas
from .access import actor, require_admin
from .blueprint import Blueprint
from .body import read_json
from .fields import MAX_NAME
from .services import Services, services

log = logging.getLogger(__name__)

blueprint = Blueprint("jobs", __name__, description="What is to run, and when.")

DEFAULT_FILENAME = "script"
_ID = re.compile(r"[1-9][0-9]{0,17}")


def numbered(job_id: str) -> int:
    """The number in a job's id. Raises: NotFound."""
    if not _ID.fullmatch(job_id):
        raise NotFound(f"there is no job {job_id!r}: ids are numbers")
    return int(job_id)


def _only_admins_say_run_as(view: Callable[..., Any]) -> Callable[..., Any]:
    """Before anything else is said about the job: a user learns nothing by trying."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        body = read_json()
        if isinstance(body, dict) and body.get("run_as") is not None:
            require_admin("run_as")
        return view(*args, **kwargs)

    return checked


@blueprint.route("/jobs", methods=["POST"])
@_only_admins_say_run_as
@blueprint.arguments(schemas.NEW_JOB)
@blueprint.response(201, schemas.JOB)
def create(fields: dict[str, Any]) -> tuple[Job, dict[str, str]]:
    """Create a job"""
    now = services().clock()
    job = jobs.submit(services().desk, _new_job(services(), fields, now), actor().name, now)
    log.info("job %d, %s, created by %s", job.id, job.name, actor().name)
    return job, {"Location": url_for("jobs.show", job_id=job.id)}


@blueprint.route("/jobs", methods=["GET"])
@blueprint.arguments(schemas.JOBS_QUERY, location="query")
@blueprint.response(200, schemas.JOBS, headers={"Link": {"schema": {"type": "string"}}})
def listing(query: dict[str, int]) -> tuple[Sequence[Job], dict[str, str]]:
    """List jobs by id

    While there may be more, the header Link names the next page.
    """
    page = jobs.listing(services().desk, after=query["after"], limit=query["limit"])
    if len(page) < query["limit"]:
        return page, {}
    following = url_for("jobs.listing", after=page[-1].id, limit=query["limit"])
    return page, {"Link": f'<{following}>; rel="next"'}


@blueprint.route("/jobs/<job_id>", methods=["GET"])
@blueprint.response(200, schemas.JOB)
def show(job_id: str) -> Job:
    """Show a job"""
    return jobs.get(services().desk, numbered(job_id))


@blueprint.route("/jobs/<job_id>", methods=["DELETE"])
@blueprint.response(204)
def remove(job_id: str) -> None:
    """Remove a job

    It stays readable. A run in progress goes on to its end.
    """
    job = jobs.remove(services().desk, numbered(job_id), actor().name, services().clock())
    log.info("job %d, %s, removed by %s", job.id, job.name, actor().name)


def _new_job(given: Services, fields: dict[str, Any], now: datetime) -> NewJob:
    """The job that the fields ask for; its artifact is stored once all else is known to be right."""
    schedule = _schedule(fields["schedule"], ZoneInfo(given.timezone), now)
    at = _not_past(fields["at"], now)
    name = fields["name"] if "name" in fields else _default_name(fields)
    return NewJob(
        type=fields["type"],
        name=name,
        command=fields.get("command"),
        artifact=_stored(given, fields) if fields["type"] is JobType.SCRIPT else None,
        schedule=schedule,
        at=at,
        timezone=given.timezone,
        run_as=fields["run_as"],
        concurrency=fields["concurrency"],
    )


def _schedule(text: str | None, zone: ZoneInfo, now: datetime) -> str | None:
    if text is None:
        return None
    try:
        return parse(text, zone, now)
    except Invalid as error:
        raise Invalid("not accepted as it is: schedule", {"schedule": [str(error)]}) from error


def _not_past(at: datetime | None, now: datetime) -> datetime | None:
    if at is not None and at < now:
        complaint = f"{at:%F %T} UTC is past: it is {now.astimezone(UTC):%F %T} UTC; leave it out for now"
        raise Invalid("not accepted as it is: at", {"at": [complaint]})
    return at


def _stored(given: Services, fields: dict[str, Any]) -> Artifact:
    content: bytes = fields["executable"]
    filename = fields.get("filename", DEFAULT_FILENAME)
    return Artifact(given.desk.artifacts.put(content), filename, len(content))


def _default_name(fields: dict[str, Any]) -> str:
    if fields["type"] is JobType.SCRIPT:
        filename: str = fields.get("filename", DEFAULT_FILENAME)
        return filename
    word: str = fields["command"].split()[0]
    base = PurePosixPath(word).name
    readable = "".join(filter(str.isprintable, base if base else word))
    return readable[:MAX_NAME] if readable else JobType.COMMAND.value
