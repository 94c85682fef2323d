"""The nodes' way in: what became of their runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from flask import Flask, current_app, request

from cronkeeper.common.errors import Busy, Unauthorized
from cronkeeper.common.model import Report, decode
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER
from cronkeeper.manager import reports

from . import schemas
from .blueprint import Blueprint
from .body import Malformed
from .services import services

blueprint = Blueprint("reports", __name__, description="For the nodes' workers.")

MAX_BYTES = 32 * 1024 * 1024
_PLACES = "cronkeeper.batches"


def install(app: Flask, max_batches: int) -> None:
    """Provide the places for batches: when all nodes come back at once, people's requests still find a thread."""
    app.extensions[_PLACES] = threading.BoundedSemaphore(max_batches)


@blueprint.route("/reports", methods=["POST"])
@blueprint.response(200, schemas.ACKNOWLEDGED)
@blueprint.doc(
    security=[],
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
    },
    parameters=[
        {"in": "header", "name": name, "required": True, "schema": {"type": "string"}}
        for name in (NODE_HEADER, SIGNATURE_HEADER)
    ],
)
def take() -> dict[str, list[str]]:
    """Take in a node's reports, signed with its key

    Only so many are taken in at a time; beyond that the answer is 503 at once, before the body is read.
    """
    request.max_content_length = MAX_BYTES
    with _place():
        body = request.get_data(cache=False)
        desk, node = services().desk, _header(NODE_HEADER)
        reports.identify(desk, node, body, _header(SIGNATURE_HEADER))
        acknowledged = reports.accept(desk, node, _decode(body), services().clock())
    return {"acknowledged": acknowledged}


@contextmanager
def _place() -> Iterator[None]:
    """Raises: Busy."""
    places = cast(threading.Semaphore, current_app.extensions[_PLACES])
    if not places.acquire(blocking=False):
        raise Busy("the reports of other nodes are being taken in: try again")
    try:
        yield
    finally:
        places.release()


def _header(name: str) -> str:
    value = request.headers.get(name)
    if value is None:
        raise Unauthorized(f"the header {name} is missing: reports are signed by a node")
    return value


def _decode(body: bytes) -> list[Report]:
    try:
        return decode(body, list[Report])
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is no list of reports: {error}") from error
