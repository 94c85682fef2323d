"""The body of a request, as JSON."""

from typing import Any

import msgspec
from flask import g, request

from cronkeeper.common.errors import CronkeeperError, Invalid

MAX_BYTES = 24 * 1024 * 1024
JSON = "application/json"


class Malformed(CronkeeperError):
    """The body is not JSON."""


class WrongMediaType(CronkeeperError):
    """The body is said to be something other than JSON."""


def read_json() -> Any:
    """The body's value; read once, however often it is asked for.

    Stricter than Python's json: no NaN, and no halves of characters, which could not be stored.

    Raises: WrongMediaType, Malformed.
    """
    if "body" not in g:
        if request.mimetype != JSON:
            said = request.mimetype if request.mimetype else "nothing"
            raise WrongMediaType(f"the Content-Type says {said}; accepted: {JSON}")
        g.body = parse(request.get_data(cache=False))
    return g.body


def require_empty() -> None:
    """Raise `Invalid` where there is a body other than `{}`; also what `read_json` raises."""
    if request.content_length == 0 or (request.content_length is None and not request.get_data()):
        return
    if read_json() != {}:
        raise Invalid("nothing is accepted in the body here, or {}")


def parse(data: bytes) -> Any:
    """Raises: Malformed."""
    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from error
