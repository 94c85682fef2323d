"""The API as one WSGI application."""

import http

import flask_smorest  # type: ignore[import-untyped]
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from . import access, body, health, jobs, nodes, problems, reports, runs, services
from .schemas import ProblemSchema
from .services import Services

OPENAPI = "3.1.0"


class _Json(DefaultJSONProvider):
    sort_keys = False


class _Api(flask_smorest.Api):  # type: ignore[misc]
    """The OpenAPI document at /openapi.json, in which errors are what `problems` makes of them."""

    def _register_responses(self) -> None:
        content = {problems.CONTENT_TYPE: {"schema": ProblemSchema}}
        for status in http.HTTPStatus:
            described = {"description": status.phrase, "content": content}
            self.spec.components.response(status.name, described, lazy=True)
        described = {"description": "An error", "content": content}
        self.spec.components.response("DEFAULT_ERROR", described, lazy=True)

    def _register_error_handlers(self) -> None:
        """Those of `problems` take their place."""


def create_app(given: Services) -> Flask:
    """One for each process, made after any fork. It uses the services and does not close them."""
    app = Flask(__name__, static_folder=None)
    app.json = _Json(app)
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=body.MAX_BYTES,
        API_TITLE="cronkeeper",
        API_VERSION=given.version,
        OPENAPI_VERSION=OPENAPI,
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={
            "security": [{"token": []}],
            "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        },
    )
    services.install(app, given)
    runs.install(app, given.max_waiters)
    health.install(app, given.desk)
    access.guard(app)
    api = _Api(app)
    for each in (jobs, runs, nodes, health, reports):
        api.register_blueprint(each.blueprint)
    problems.register(app)
    return app
