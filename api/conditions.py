"""The headers that make a request safe to repeat, or to send beside somebody else's: RFC 9110, 13.1.1."""

import re
from typing import Any

from flask import request

from cronkeeper.common.model import Job
from cronkeeper.common.store.idempotency import Key

from .access import actor
from .body import Malformed, fingerprint

ETAG = {"ETag": {"description": "The rev, in quotes.", "schema": {"type": "string"}}}
IF_MATCH: dict[str, Any] = {
    "in": "header",
    "name": "If-Match",
    "description": "An ETag: refused with 412 where the job has another by now.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Of your choice: the request can then be repeated, and is done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
REPLAY = "Idempotent-Replay"
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_KEY = re.compile(r"[\x20-\x7e]{1,200}")


def etag(job: Job) -> dict[str, str]:
    """The header by which a client names this rev of the job later."""
    return {"ETag": f'"{job.rev}"'}


def expected_revs() -> frozenset[str] | None:
    """The revs, as text, that If-Match lets pass; None: any. Raises: Malformed."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    if not _TAGS.fullmatch(header):
        raise Malformed('If-Match is not readable; accepted: * or ETags in quotes, such as "3"')
    tags = re.findall(_TAG, header)
    return frozenset(tag[1:-1] for tag in tags if not tag.startswith("W/"))  # a weak one never matches


def given_key() -> str | None:
    """The Idempotency-Key of the current request. Raises: Malformed."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Malformed("the Idempotency-Key is not accepted; accepted: 1 to 200 printable ASCII characters")
    return key


def idempotency_key(*which: str) -> Key | None:
    """What makes this request, whose body has been read, the same as another. Raises: Malformed.

    `which`: what it is asked of, where the body alone does not tell one such request from others.
    """
    key = given_key()
    if key is None:
        return None
    return Key(actor=actor().name, key=key, fingerprint=fingerprint(*which))
