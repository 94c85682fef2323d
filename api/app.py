"""The API as one WSGI application."""

from flask import Blueprint, Flask
from flask.json.provider import DefaultJSONProvider
from flask_swagger_ui import get_swaggerui_blueprint  # type: ignore[import-untyped]

from . import (
    access,
    artifacts,
    body,
    copies,
    health,
    jobs,
    ledger,
    metrics,
    nodes,
    openapi,
    pauses,
    problems,
    reports,
    request_id,
    runs,
    services,
    tokens,
)
from .services import Services


class _Json(DefaultJSONProvider):
    sort_keys = False


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
        OPENAPI_VERSION=openapi.VERSION,
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={
            "security": [{"token": []}],
            "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        },
    )
    services.install(app, given)
    metrics.install(app, given)
    runs.install(app, given)
    reports.install(app, given.max_batches)
    health.install(app, given.desk)
    request_id.install(app)
    access.guard(app)
    api = openapi.Api(app, spec_kwargs={"extra_plugins": [openapi.Completing()]})
    for each in (jobs, copies, runs, ledger, nodes, pauses, tokens, artifacts, health, metrics, reports):
        api.register_blueprint(each.blueprint)
    app.register_blueprint(_docs())
    problems.register(app)
    return app
