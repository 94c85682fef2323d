"""People's tokens: of each only the SHA-256 in hex. None is ever removed; one that is revoked lets nobody in."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Role

from .schema import token

_SHOWN = [column for column in token.c if column.name != "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that is not numbered yet; `digest` is its SHA-256 in hex, `expires_at` None: never."""

    name: str
    role: Role
    digest: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """All that is known of a token, but what it is."""

    id: int
    name: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def active(self, now: datetime) -> bool:
        """Whether it lets somebody in."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def insert(conn: Connection, new: NewToken, actor: str, now: datetime) -> Token:
    """Let whoever has this token in.

    Raises:
        Conflict: an active token has the name.
    """
    values = {
        "name": new.name,
        "role": new.role.value,
        "digest": new.digest,
        "created_by": actor,
        "created_at": now,
        "expires_at": new.expires_at,
    }
    key = conn.execute(sa.insert(token), values).inserted_primary_key
    assert key is not None
    # Looked for after the insert, and with a lock: of two that take a name at once each then waits for the
    # other's row, and the database lets one of them try again. No index could say it: time makes names free.
    others = sa.select(token.c.id).where(token.c.name == new.name, token.c.id != key[0], _active(now))
    other = conn.scalars(others.limit(1).with_for_update()).one_or_none()
    if other is not None:
        raise Conflict(f"token {other} has the name {new.name}: revoke it first, or take another name")
    return get(conn, key[0])


def get(conn: Connection, token_id: int) -> Token:
    """Raises: NotFound."""
    found = _tokens(conn, token.c.id == token_id)
    if not found:
        raise NotFound(f"there is no token {token_id}")
    return found[0]


def by_digest(conn: Connection, digest: str, now: datetime) -> Token | None:
    """The active token with this SHA-256 in hex."""
    found = _tokens(conn, sa.and_(token.c.digest == digest, _active(now)))
    return found[0] if found else None


def listing(conn: Connection) -> list[Token]:
    """All there ever were, by id."""
    return _tokens(conn, sa.true())


def revoke(conn: Connection, token_id: int, now: datetime) -> bool:
    """Let nobody in with it any more; False where that is so already. Raises: NotFound."""
    which = sa.and_(token.c.id == token_id, token.c.revoked_at.is_(None))
    if conn.execute(sa.update(token).where(which).values(revoked_at=now)).rowcount == 1:
        return True
    get(conn, token_id)
    return False


def _active(now: datetime) -> sa.ColumnElement[bool]:
    in_time = sa.or_(token.c.expires_at.is_(None), token.c.expires_at > now)
    return sa.and_(token.c.revoked_at.is_(None), in_time)


def _tokens(conn: Connection, which: sa.ColumnElement[bool]) -> list[Token]:
    rows = conn.execute(sa.select(*_SHOWN).where(which).order_by(token.c.id))
    return [Token(**row._asdict() | {"role": Role(row.role)}) for row in rows]
