"""The body of a request, as JSON."""

import hashlib
import json
from typing import Any, cast

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
        data = request.get_data(cache=False)
        g.fingerprint = hashlib.sha256(data).hexdigest()
        g.body = parse(data)
    return g.body


def fingerprint(*which: str) -> str:
    """The SHA-256, in hex, of the body that `read_json` has read; with `which`, of these words and that."""
    own = cast(str, g.fingerprint)
    return hashlib.sha256(" ".join((*which, own)).encode()).hexdigest() if which else own


def is_absent() -> bool:
    """Whether the request has no body at all."""
    return request.content_length == 0 or (request.content_length is None and not request.get_data())


def take_absent_as_empty() -> None:
    """Let `read_json` find an empty object where there is no body."""
    if is_absent():
        g.body, g.fingerprint = {}, hashlib.sha256().hexdigest()


def require_empty() -> None:
    """Raise `Invalid` where there is a body other than `{}`; also what `read_json` raises."""
    if not is_absent() and read_json() != {}:
        raise Invalid("nothing is accepted in the body here, or {}")


def parse(data: bytes) -> Any:
    """Raises: Malformed."""
    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise Malformed(_complaint(data, error)) from error


def _complaint(data: bytes, error: ValueError) -> str:
    """What is wrong; msgspec itself calls a body truncated that is empty or has half a character."""
    if not data.strip():
        return "the body is empty; a JSON object is expected"
    try:
        json.dumps(json.loads(data), ensure_ascii=False).encode()
    except UnicodeEncodeError as halved:
        half = f"\\u{ord(halved.object[halved.start]):04x}"
        return f"the body has half a character, {half}; accepted: both halves in a pair"
    except (ValueError, RecursionError):
        pass
    return f"the body is not JSON: {error}"
