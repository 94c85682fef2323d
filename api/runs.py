"""Runs: asking for one by hand, and what became of them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Response, current_app, url_for

from cronkeeper.common.model import Run
from cronkeeper.common.store.runs import Stream
from cronkeeper.manager import runs
from cronkeeper.manager.runs import Wish

from . import conditions, paging, schemas
from .access import actor
from .blueprint import Blueprint
from .body import require_empty
from .ids import numbered
from .rights import only_who_has_the_right, require_right_to
from .services import Services, services
from .waiting import Waiters

log = logging.getLogger(__name__)

blueprint = Blueprint("runs", __name__, description="What was run, and how it ended.")

SIZE_HEADER = "Cronkeeper-Output-Size"
_NEWEST_FIRST = "-created_at"
_WAITERS = "cronkeeper.waiters"
_TEXT: dict[str, Any] = {
    "schema": {"type": "string"},
    "content_type": "text/plain; charset=utf-8",
    "headers": {
        SIZE_HEADER: {
            "description": "Bytes that were written. Where there are more than in the answer, the others are not "
            "kept: see max_output of the job.",
            "schema": {"type": "integer"},
        }
    },
}


def install(app: Flask, given: Services) -> None:
    """Provide the places for requests that wait."""
    app.extensions[_WAITERS] = Waiters(given.max_waiters, given.leaving)


@blueprint.route("/jobs/<job_id>/runs", methods=["POST"])
@only_who_has_the_right
@blueprint.arguments(schemas.WAIT_QUERY, location="query")
@blueprint.response(202, schemas.RUN)
@blueprint.alt_response(200, schema=schemas.RUN, description="It has ended")
@blueprint.doc(parameters=[conditions.IDEMPOTENCY_KEY])
def request_run(query: dict[str, Any], job_id: str) -> tuple[Run, int, dict[str, str]]:
    """Run a job now

    Of a job with copies all `node` must say which of them is to run it.
    With `wait` the answer comes when the run has ended (200), or when the time is up (202).
    """
    require_empty()
    desk = services().desk
    run, repeated = _requested(numbered(job_id), query.get("node"))
    if not repeated:
        log.info("run %s requested by %s", run.id, actor().name, extra={"run": run.id})
    if query["wait"] > 0:
        run = cast(Waiters, current_app.extensions[_WAITERS]).await_end(desk, run, query["wait"])
    status = HTTPStatus.OK if run.state.final else HTTPStatus.ACCEPTED
    headers = {"Location": url_for("runs.show", run_id=run.id)}
    return run, status, headers | ({conditions.REPLAY: "true"} if repeated else {})


def _requested(job_id: int, node: str | None) -> tuple[Run, bool]:
    """The run, and whether an earlier request with the same key asked for it."""
    wish = Wish(job_id=job_id, actor=actor().name, now=services().clock(), node=node)
    key = conditions.given_key()
    if key is None:
        return runs.request(services().desk, wish, check=require_right_to), False
    return runs.request_once(services().desk, wish, key, check=require_right_to)


@blueprint.route("/jobs/<job_id>/runs", methods=["GET"])
@blueprint.arguments(schemas.RUNS_QUERY, location="query")
@blueprint.response(200, schemas.RUNS, headers=paging.LINK)
def listing(query: dict[str, Any], job_id: str) -> tuple[Sequence[Run], Mapping[str, str]]:
    """List a job's runs, newest first

    While there may be more, the header Link names the next page.
    """
    before = None
    if "cursor" in query:
        moment, run_id = paging.place_of(query["cursor"], _NEWEST_FIRST, paging.Micros, str)
        before = (paging.instant(moment), run_id)
    limit, filters = query["limit"], {name: query[name] for name in ("state", "node") if name in query}
    page = runs.listing(services().desk, numbered(job_id), limit=limit, before=before, **filters)
    if len(page) < limit:
        return page, {}
    place = (paging.micros(page[-1].created_at), page[-1].id)
    return page, paging.next_page("runs.listing", _NEWEST_FIRST, place, job_id=job_id)


@blueprint.route("/runs/<run_id>", methods=["GET"])
@blueprint.response(200, schemas.RUN)
def show(run_id: str) -> Run:
    """Show a run"""
    return runs.get(services().desk, run_id)


@blueprint.route("/runs/<run_id>/stdout", methods=["GET"])
@blueprint.response(200, **_TEXT)
def stdout(run_id: str) -> Response:
    """Show what a run wrote to its standard output"""
    return _output(run_id, Stream.STDOUT)


@blueprint.route("/runs/<run_id>/stderr", methods=["GET"])
@blueprint.response(200, **_TEXT)
def stderr(run_id: str) -> Response:
    """Show what a run wrote to its standard error"""
    return _output(run_id, Stream.STDERR)


def _output(run_id: str, stream: Stream) -> Response:
    desk = services().desk
    output = runs.output(desk, run_id, stream)
    # A job may write HTML: nobody's browser is to take it for a page of ours.
    headers = {SIZE_HEADER: str(output.size), "X-Content-Type-Options": "nosniff"}
    if output.stored is None:
        return Response(output.data, headers=headers, content_type=_TEXT["content_type"])
    stored = runs.open_output(desk, run_id, stream)
    headers["Content-Length"] = str(stored.size)
    return Response(stored, headers=headers, content_type=_TEXT["content_type"])
