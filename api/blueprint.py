"""flask-smorest's blueprint as we use it: typed, and with refusals in our own form."""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import flask_smorest  # type: ignore[import-untyped]
from flask import Request
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser

from cronkeeper.common.errors import Invalid

from .body import read_json

View = TypeVar("View", bound=Callable[..., Any])


class _Parser(FlaskParser):
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {}  # noqa: RUF012 - webargs declares it so
    """Empty: what becomes of an unknown field is for each schema to say, and all of ours refuse it."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        return read_json()

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        assert isinstance(error.messages, dict)
        (fields,) = error.messages.values()  # below the name of where they came from: json or query
        whole = fields.pop("_schema", None)
        if whole is not None:
            fields["body"] = whole
        raise Invalid(f"not accepted as it is: {', '.join(sorted(fields)[:10])}", fields) from error


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A group of endpoints; what their decorators say is also what the OpenAPI document says."""

    ARGUMENTS_PARSER = _Parser()

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Serve `rule` by a view."""
        decorator: Callable[[View], View] = super().route(rule, **options)
        return decorator

    def arguments(self, schema: Schema, **options: Any) -> Callable[[View], View]:
        """Hand what the schema made of the body (or the `location` that is named) to the view, as a dict."""
        decorator: Callable[[View], View] = super().arguments(schema, **options)
        return decorator

    def response(
        self, status_code: int, schema: Schema | None = None, **options: Any
    ) -> Callable[[View], View]:
        """Answer with what the view returns (and, in a tuple with it, a status and headers)."""
        decorator: Callable[[View], View] = super().response(status_code, schema, **options)
        return decorator

    def alt_response(self, status_code: int, **options: Any) -> Callable[[View], View]:
        """Describe another answer that the view may give."""
        decorator: Callable[[View], View] = super().alt_response(status_code, **options)
        return decorator

    @staticmethod
    def doc(**content: Any) -> Callable[[View], View]:
        """Add to the description of the view."""
        decorator: Callable[[View], View] = flask_smorest.Blueprint.doc(**content)
        return decorator
