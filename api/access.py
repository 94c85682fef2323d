"""Who may ask for what. Whatever is not named as open needs a token."""

from typing import cast

from flask import Flask, g, request

from cronkeeper.common.errors import Forbidden

from .identity import Actor, Role
from .services import services

OPEN = frozenset({"health.show", "reports.take", "api-docs.openapi_json", "swagger_ui.show"})
"""The endpoints that need no token; a report is signed by its node instead."""


def guard(app: Flask) -> None:
    """Let only known actors in."""
    app.before_request(_identify)


def actor() -> Actor:
    """Who sent the current request."""
    return cast(Actor, g.actor)


def require_admin(what: str) -> None:
    """Raise `Forbidden` where `what` is asked for by somebody who is no admin."""
    if actor().role is not Role.ADMIN:
        raise Forbidden(f"{what} is for admins only, and this is the token of a {actor().role}")


def _identify() -> None:
    # Without an endpoint there is nothing to guard: the answer says that there is no such path or method.
    if request.endpoint is not None and request.endpoint not in OPEN:
        g.actor = services().identity.whoever(request.headers.get("Authorization"))
