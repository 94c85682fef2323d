"""Files that jobs are to run, too large for the body of a job."""

import logging
from collections.abc import Iterator
from typing import Any

from flask import request
from marshmallow import Schema, fields
from werkzeug.exceptions import ClientDisconnected

from cronkeeper.common.artifacts.store import CHUNK
from cronkeeper.common.errors import Invalid, Unavailable

from .access import actor
from .blueprint import Blueprint
from .fields import file_name
from .schemas import Strict
from .services import services

log = logging.getLogger(__name__)

blueprint = Blueprint("artifacts", __name__, description="Scripts and binaries.")

MAX_BYTES = 1024**3


class PutQuerySchema(Strict):
    """What the file is called."""

    filename = fields.String(
        load_default=None, validate=file_name, metadata={"description": "Becomes the end of the URL."}
    )


class ArtifactSchema(Schema):
    """A file that is stored."""

    url = fields.String(metadata={"description": "Where the file lies: file://… or s3://…"})
    sha256 = fields.String()
    size = fields.Integer(metadata={"description": "Bytes."})
    filename = fields.String(allow_none=True)


@blueprint.route("/artifacts", methods=["PUT"])
@blueprint.arguments(PutQuerySchema(), location="query")
@blueprint.response(201, ArtifactSchema())
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The file as it is, of any Content-Type, up to 1 GiB.",
    }
)
def put(query: dict[str, str | None]) -> dict[str, Any]:
    """Store a file

    The same content is stored once, however often it is sent.
    """
    request.max_content_length = MAX_BYTES
    filename = query["filename"]
    artifacts = services().desk.artifacts
    stored = artifacts.put_stream(_chunks())
    log.info("artifact %s of %d bytes stored by %s", stored.sha256, stored.size, actor().name)
    return {
        "url": artifacts.url(stored.sha256, filename),
        "sha256": stored.sha256,
        "size": stored.size,
        "filename": filename,
    }


def _chunks() -> Iterator[bytes]:
    """The body, piece by piece.

    Raises: RequestEntityTooLarge; ClientDisconnected, where it ends too early; Invalid, where it is empty;
    Unavailable, where this server ends before all can have come.
    """
    leaving = services().leaving
    expected = request.content_length
    received = 0
    # Once all has come no more is asked for: beyond its limit the stream can't tell an end from more bytes.
    while received != expected and (chunk := request.stream.read(CHUNK)):
        received += len(chunk)
        if leaving.at_once:
            raise Unavailable("this server of the API ends now: send the file again, another one takes it")
        yield chunk
    if expected is not None and received < expected:
        raise ClientDisconnected(f"the body broke off after {received} of {expected} bytes")
    if received == 0:
        raise Invalid("the body is empty; the file's bytes are expected")
