"""The id of a request: the caller's own, else one of ours; it goes back with the answer and into the log."""

import re
import secrets

from flask import Flask, Response, g, request

from cronkeeper.common import log

HEADER = "X-Request-Id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def install(app: Flask) -> None:
    """Give every request of this app an id."""
    app.before_request(_begin)
    app.after_request(_tell)
    app.teardown_request(_end)


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if _ACCEPTED.fullmatch(given) else secrets.token_hex(8)
    log.request.set(g.request_id)


def _tell(response: Response) -> Response:
    response.headers[HEADER] = g.get("request_id", "")
    return response


def _end(_error: BaseException | None) -> None:
    log.request.set(None)
