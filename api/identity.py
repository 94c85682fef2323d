"""Who asks: bearer tokens, one for each role from the configuration, and those that people were given."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronkeeper.common.errors import Invalid, Unauthorized
from cronkeeper.common.model import Role
from cronkeeper.common.store.tokens import Token

__all__ = ["Role"]

HOW = "send a token, as the header `Authorization: Bearer <token>`"
REMEMBERED_FOR = timedelta(seconds=5)
"""How long a token is believed to be what it was when SQL was asked: so long a revoked one may still be good."""
MOST_REMEMBERED = 1000

Find = Callable[[str, datetime], Token | None]
"""The active token that this text is. Raises: Unavailable."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who is known here; the name goes into the audit."""

    name: str
    role: Role


class Identity:
    """Knows people by their tokens; of these it keeps the SHA-256 only.

    The configured ones need no SQL: they are the way in before there are others, and where SQL is away.
    """

    def __init__(self, tokens: Mapping[Role, str], find: Find) -> None:
        """`find` knows all other tokens. Raises: Invalid, as `check`."""
        check(tokens)
        self._digests = {role: _digest(token) for role, token in tokens.items()}
        self._find = find
        self._remembered: dict[bytes, tuple[Token, datetime]] = {}

    def whoever(self, authorization: str | None, now: datetime) -> Actor:
        """Who sent this Authorization header. Raises: Unauthorized; Unavailable, where only SQL could tell."""
        if authorization is None:
            raise Unauthorized(f"nobody is known without a token: {HOW}")
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":  # not repeated: it may be a token that came without its scheme
            raise Unauthorized(f"the scheme of the header Authorization is not Bearer: {HOW}")
        given = _digest(token.strip())
        for role, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                return Actor(role.value, role)
        known = self._known(token.strip(), given, now)
        if known is None:
            raise Unauthorized(f"nobody has this token here, or no longer: {HOW}")
        return Actor(known.name, known.role)

    def _known(self, token: str, digest: bytes, now: datetime) -> Token | None:
        """From memory, or else from SQL; that a token is unknown is not remembered."""
        known, asked_at = self._remembered.get(digest, (None, now))
        # A clock that was set back must not make anybody remembered for longer.
        if known is not None and known.active(now) and abs(now - asked_at) < REMEMBERED_FOR:
            return known
        found = self._find(token, now)
        if found is not None:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = found, now
        return found


def check(tokens: Mapping[Role, str]) -> None:
    """Raise `Invalid` for a configured token that is empty or opens two roles."""
    if not all(tokens.values()):
        raise Invalid("a token must not be empty")
    if len(set(tokens.values())) < len(tokens):
        raise Invalid("the tokens of admin and user must not be the same")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
