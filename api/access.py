"""Who may ask for what. Whatever is not named as open needs a token."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

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


def admins_only(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let only admins ask for `what` at this view, before anything else is said about the request."""

    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            require_admin(what)
            return view(*args, **kwargs)

        return checked

    return decorator


def _identify() -> None:
    # Without an endpoint there is nothing to guard: the answer says that there is no such path or method.
    if request.endpoint is not None and request.endpoint not in OPEN:
        given = services()
        g.actor = given.identity.whoever(request.headers.get("Authorization"), given.clock())
