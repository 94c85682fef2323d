"""The API as one WSGI application."""

import http

import flask_smorest  # type: ignore[import-untyped]
from flask import Blueprint, Flask
from flask.json.provider import DefaultJSONProvider
from flask_swagger_ui import get_swaggerui_blueprint  # type: ignore[import-untyped]

from . import (
    access,
    artifacts,
    body,
    health,
    jobs,
    metrics,
    nodes,
    problems,
    reports,
    request_id,
    runs,
    services,
    tokens,
)
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


def _docs() -> Blueprint:
    """The page at /docs, made by Swagger UI from /openapi.json; all that it loads is in the package."""
    page: Blueprint = get_swaggerui_blueprint(
        "/docs",
        "/openapi.json",
        config={
            "app_name": "cronkeeper's API",
            "layout": "BaseLayout",
            "validatorUrl": None,
            "persistAuthorization": True,
            "defaultModelsExpandDepth": 0,
        },
    )
    return page


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
    metrics.install(app, given)
    runs.install(app, given.max_waiters)
    health.install(app, given.desk)
    request_id.install(app)
    access.guard(app)
    api = _Api(app)
    for each in (jobs, runs, nodes, tokens, artifacts, health, metrics, reports):
        api.register_blueprint(each.blueprint)
    app.register_blueprint(_docs())
    problems.register(app)
    return app
