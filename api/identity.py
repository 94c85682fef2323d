"""Who asks: bearer tokens, one for each role."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cronkeeper.common.errors import Invalid, Unauthorized

HOW = "send a token, as the header `Authorization: Bearer <token>`"


class Role(StrEnum):
    """What somebody may do: admins all, users all that is not kept for admins."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who is known here; the name goes into the audit."""

    name: str
    role: Role


class Identity:
    """Knows people by their tokens; of these it keeps the SHA-256 only."""

    def __init__(self, tokens: Mapping[Role, str]) -> None:
        """Raises: Invalid, for a token that is empty or opens two roles."""
        if not all(tokens.values()):
            raise Invalid("a token must not be empty")
        if len(set(tokens.values())) < len(tokens):
            raise Invalid("the tokens of admin and user must not be the same")
        self._digests = {role: _digest(token) for role, token in tokens.items()}

    def whoever(self, authorization: str | None) -> Actor:
        """Who sent this Authorization header. Raises: Unauthorized."""
        if authorization is None:
            raise Unauthorized(f"nobody is known without a token: {HOW}")
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized(f"the scheme {scheme!r} is not accepted: {HOW}")
        given = _digest(token.strip())
        for role, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                return Actor(role.value, role)
        raise Unauthorized(f"nobody has this token here: {HOW}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
