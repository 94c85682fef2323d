"""Long lists in pages: where one ended is a cursor, opaque to the client, in the header Link."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from flask import request, url_for

from cronkeeper.common.errors import Invalid

MAX_ID = 10**18 - 1
Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
Micros = Annotated[int, msgspec.Meta(ge=0, le=10**17)]
"""An instant, in microseconds since 1970."""
LINK = {"Link": {"description": "The next page, where there may be one.", "schema": {"type": "string"}}}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(instant: datetime) -> int:
    """The instant as a number that a cursor can hold."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(micros: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def next_page(endpoint: str, order: str, place: tuple[Any, Any], **path: Any) -> Mapping[str, str]:
    """The header that leads on from `place` in this order, with all else as it was asked for now."""
    cursor = base64.urlsafe_b64encode(msgspec.json.encode((order, *place))).decode().rstrip("=")
    query: dict[str, Any] = {
        name: value for name, value in request.args.items() if name not in ("after", "cursor")
    }
    following = url_for(endpoint, **path, **query, cursor=cursor)
    return {"Link": f'<{following}>; rel="next"'}


def place_of(cursor: str, order: str, value: Any, id_: Any) -> tuple[Any, Any]:
    """The `place` that a cursor for this order was made of, of these two types. Raises: Invalid."""
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        made_for, *place = msgspec.json.decode(data, type=tuple[str, value, id_])
        if made_for != order:
            raise ValueError(f"a cursor for {made_for}")
    except (ValueError, RecursionError) as error:
        complaint = "it is not one for this list; accepted: one from the header Link, or none"
        raise Invalid("not accepted as it is: cursor", {"cursor": [complaint]}) from error
    return place[0], place[1]
