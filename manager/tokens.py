"""The front desk for people's tokens: making one, knowing it again, and letting nobody in with it any more."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import Role
from cronkeeper.common.store import tokens
from cronkeeper.common.store.tokens import NewToken, Token
from cronkeeper.manager.desk import Desk, note

PREFIX = "ck_"
"""What every token begins with, so that people and programs that look for secrets know it for one."""
BYTES = 32


def create(
    desk: Desk, name: str, role: Role, expires_at: datetime | None, actor: str, now: datetime
) -> tuple[Token, str]:
    """Make a token. It is the second that is returned, and is kept nowhere.

    Raises:
        Invalid: the name is that of a configured token.
        Conflict: an active token has the name.
        Unavailable: there may or may not be such a token, which then nobody has: revoke it.
    """
    if name.casefold() in set(Role):
        complaint = "is what the token of that role from the configuration is called: take another name"
        raise Invalid("not accepted as it is: name", {"name": [f"{name} {complaint}"]})
    secret = PREFIX + secrets.token_urlsafe(BYTES)
    new = NewToken(name=name, role=role, digest=digest_of(secret), expires_at=expires_at)

    def work(connection: Connection) -> Token:
        made = tokens.insert(connection, new, actor, now)
        until = "" if expires_at is None else f", until {expires_at:%FT%TZ}"
        detail = f"token {made.id}, {made.name}: {role}{until}"
        note(connection, actor, "token.create", now, detail=detail)
        return made

    return desk.store.transaction(work, writes=True), secret


def find(desk: Desk, secret: str, now: datetime) -> Token | None:
    """The active token that this is; None where it is none, for which SQL is asked only if it looks like one.

    Raises: Unavailable.
    """
    if not secret.startswith(PREFIX):
        return None
    digest = digest_of(secret)
    return desk.store.transaction(lambda connection: tokens.by_digest(connection, digest, now))


def listing(desk: Desk) -> Sequence[Token]:
    """All there ever were, by id. Raises: Unavailable."""
    return desk.store.transaction(tokens.listing)


def revoke(desk: Desk, token_id: int, actor: str, now: datetime) -> None:
    """Let nobody in with a token any more; it may be repeated.

    Raises:
        NotFound: there is no such token.
        Unavailable: it may or may not be revoked.
    """

    def work(connection: Connection) -> None:
        if tokens.revoke(connection, token_id, now):
            detail = f"token {token_id}, {tokens.get(connection, token_id).name}"
            note(connection, actor, "token.revoke", now, detail=detail)

    desk.store.transaction(work, writes=True)


def digest_of(secret: str) -> str:
    """What is kept of a token: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
