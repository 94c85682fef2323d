"""Errors as answers (RFC 9457). Only this module knows which status code an error becomes."""

import json
import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from cronkeeper.common import errors

from .body import Malformed, WrongMediaType

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
_MOST_FIELDS = 50
_STATUS: Mapping[type[errors.CronkeeperError], HTTPStatus] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Outdated: HTTPStatus.PRECONDITION_FAILED,
    errors.Conflict: HTTPStatus.CONFLICT,
    WrongMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "1"},
}


def register(app: Flask) -> None:
    """Answer every error of this app as a problem."""
    app.register_error_handler(errors.CronkeeperError, _of_ours)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_a_bug)


def _of_ours(error: errors.CronkeeperError) -> Response:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        return _of_a_bug(error)
    if status is HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, errors.Busy):
        log.warning("%s %s: %s", request.method, request.path, error)
    fields = error.fields if isinstance(error, errors.Invalid) else {}
    return _problem(status, str(error), fields)


def _of_http(error: HTTPException) -> AnyResponse:
    """What Flask itself refuses; a redirect stays one."""
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response(request.environ)
    answer = _problem(HTTPStatus(error.code), _explain(error))
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(_methods(error))
    return answer


def _of_a_bug(error: Exception) -> Response:
    reference = secrets.token_hex(6)
    log.error("reference %s: %s %s failed", reference, request.method, request.path, exc_info=error)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, f"this is our fault; the log says more under reference {reference}"
    )


def _explain(error: HTTPException) -> str:
    if isinstance(error, NotFound):
        return f"there is nothing at {request.path}"
    if isinstance(error, MethodNotAllowed):
        return f"{request.method} is not possible here; accepted: {', '.join(_methods(error))}"
    if isinstance(error, RequestEntityTooLarge):
        return f"the body is too large; accepted: up to {request.max_content_length} bytes"
    return error.description if error.description is not None else error.name


def _methods(error: MethodNotAllowed) -> list[str]:
    return sorted(error.valid_methods) if error.valid_methods is not None else []


def _problem(status: HTTPStatus, detail: str, fields: Mapping[str, list[str]] | None = None) -> Response:
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if fields:
        content["errors"] = dict(islice(fields.items(), _MOST_FIELDS))
    headers = _HEADERS.get(status, {})
    return Response(json.dumps(content), status.value, headers, content_type=CONTENT_TYPE)
