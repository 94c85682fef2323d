"""Ids in paths."""

import re

from cronkeeper.common.errors import NotFound

_ID = re.compile(r"[1-9][0-9]{0,17}")


def numbered(text: str, kind: str = "job") -> int:
    """The number in the id of something of that kind. Raises: NotFound."""
    if not _ID.fullmatch(text):
        raise NotFound(f"there is no {kind} {text!r}: ids are numbers")
    return int(text)
