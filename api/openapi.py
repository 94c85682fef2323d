"""What the OpenAPI document says besides what the views say: the errors of each operation, and examples."""

import http
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import flask_smorest  # type: ignore[import-untyped]
from apispec import BasePlugin

from . import examples, problems
from .schemas import ProblemSchema

VERSION = "3.1.0"
JSON = "application/json"
_CONFLICTS = frozenset(
    {
        "/jobs/{job_id}",
        "/jobs/{job_id}/runs",
        "/jobs/{job_id}/resume",
        "/nodes",
        "/nodes/{name}/reload",
        "/tokens",
    }
)
"""Where what is asked for may be at odds with what is there."""
_ADMINS = ("/tokens", "/tokens/{token_id}")
"""Paths that are for admins, also to look at."""

Operation = dict[str, Any]


class Api(flask_smorest.Api):  # type: ignore[misc]
    """The OpenAPI document at /openapi.json, in which errors are what `problems` makes of them."""

    def _register_responses(self) -> None:
        for status in http.HTTPStatus:
            self._describe_error(status.name, status.phrase, status)
        self._describe_error("DEFAULT_ERROR", "An error", HTTPStatus.INTERNAL_SERVER_ERROR)

    def _describe_error(self, name: str, description: str, status: HTTPStatus) -> None:
        example = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": "what was wrong, and what is accepted",
        }
        content = {problems.CONTENT_TYPE: {"schema": ProblemSchema, "example": example}}
        self.spec.components.response(name, {"description": description, "content": content}, lazy=True)

    def _register_error_handlers(self) -> None:
        """Those of `problems` take their place."""


class Completing(BasePlugin):
    """Adds to each operation the errors that it may answer with, and examples of its bodies."""

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Operation] | None = None, **_: Any
    ) -> None:
        """Called by apispec for each path."""
        assert path is not None
        for method, operation in (operations if operations is not None else {}).items():
            responses = operation["responses"]
            described = {str(status) for status in responses}
            for status in errors(method, path, operation):
                if str(status.value) not in described:
                    responses[str(status.value)] = status.name
            _show_examples(method, path, operation)


def errors(method: str, path: str, operation: Mapping[str, Any]) -> set[HTTPStatus]:
    """What besides success the operation may answer with, by what it takes and who may ask."""
    found = {HTTPStatus.SERVICE_UNAVAILABLE}
    open_to_all = operation.get("security") == []
    changes = method != "get"
    if not open_to_all or path == "/reports":
        found.add(HTTPStatus.UNAUTHORIZED)
    if (changes and not open_to_all and path != "/artifacts") or path in _ADMINS:
        found.add(HTTPStatus.FORBIDDEN)
    if "{" in path:
        found.add(HTTPStatus.NOT_FOUND)
    if "requestBody" in operation:
        found |= {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
        if path not in ("/reports", "/artifacts"):
            found |= {HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY}
    if any(each.get("in") == "query" for each in operation.get("parameters", ()) if isinstance(each, dict)):
        found.add(HTTPStatus.UNPROCESSABLE_ENTITY)
    if any(
        each.get("name") == "If-Match" for each in operation.get("parameters", ()) if isinstance(each, dict)
    ):
        found.add(HTTPStatus.PRECONDITION_FAILED)
    if changes and path in _CONFLICTS:
        found.add(HTTPStatus.CONFLICT)
    return found


def _show_examples(method: str, path: str, operation: Operation) -> None:
    request = examples.REQUESTS.get((method, path))
    if request is not None:
        shown = {name: {"value": value} for name, value in request.items()}
        operation["requestBody"]["content"][JSON]["examples"] = shown
    for status, answer in operation["responses"].items():
        example = examples.ANSWERS.get((method, path, str(status)))
        if example is not None and isinstance(answer, dict):  # errors are named only
            answer["content"][JSON]["example"] = example
