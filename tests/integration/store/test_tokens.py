"""People's tokens: one contract on both databases."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from support.samples import NOW, at_once

from cronkeeper.common.errors import Conflict, NotFound
from cronkeeper.common.model import Role
from cronkeeper.common.store import tokens
from cronkeeper.common.store.schema import token as table
from cronkeeper.common.store.store import Store
from cronkeeper.common.store.tokens import NewToken, Token

CI = NewToken(name="ci", role=Role.USER, digest="c" * 64, expires_at=None)
LATER = NOW + timedelta(hours=1)


def insert(store: Store, new: NewToken = CI) -> Token:
    return store.transaction(lambda conn: tokens.insert(conn, new, "admin", NOW))


def known(store: Store, digest: str = CI.digest) -> Token | None:
    return store.transaction(lambda conn: tokens.by_digest(conn, digest, NOW))


def revoke(store: Store, token_id: int) -> bool:
    return store.transaction(lambda conn: tokens.revoke(conn, token_id, LATER))


def test_a_token_is_known_by_its_digest_and_listed_without_it(store: Store) -> None:
    made = insert(store)
    assert made == Token(
        id=made.id,
        name="ci",
        role=Role.USER,
        created_by="admin",
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
    )
    assert known(store) == made
    assert known(store, "d" * 64) is None
    assert store.transaction(tokens.listing) == [made]
    assert store.transaction(lambda conn: conn.scalar(sa.select(table.c.digest))) == CI.digest


def test_a_token_that_has_expired_or_was_revoked_lets_nobody_in_and_is_still_listed(store: Store) -> None:
    insert(store, replace(CI, name="short", digest="s" * 64, expires_at=NOW))
    longer = insert(store, replace(CI, name="long", digest="l" * 64, expires_at=LATER))
    gone = insert(store)
    assert revoke(store, gone.id)

    assert (known(store, "s" * 64), known(store, "l" * 64), known(store)) == (None, longer, None)
    assert [each.name for each in store.transaction(tokens.listing)] == ["short", "long", "ci"]


def test_a_token_is_revoked_once_and_that_may_be_repeated(store: Store) -> None:
    made = insert(store)
    assert [revoke(store, made.id), revoke(store, made.id)] == [True, False]
    assert store.transaction(lambda conn: tokens.get(conn, made.id)).revoked_at == LATER
    with pytest.raises(NotFound, match=f"there is no token {made.id + 1}"):
        revoke(store, made.id + 1)


def test_a_name_belongs_to_one_active_token_and_is_free_after_it(store: Store) -> None:
    first = insert(store)
    other = replace(CI, digest="o" * 64)
    with pytest.raises(Conflict, match=f"token {first.id} has the name ci"):
        insert(store, other)
    assert known(store, other.digest) is None

    revoke(store, first.id)
    insert(store, replace(other, expires_at=NOW))
    assert insert(store, replace(CI, digest="n" * 64)).name == "ci"
    assert insert(store, replace(CI, digest="u" * 64, name="CI")).name == "CI"


def test_of_tokens_that_take_a_name_at_once_one_gets_it(store: Store) -> None:
    def take(digest: str) -> bool:
        try:
            insert(store, replace(CI, digest=digest * 64))
        except Conflict:
            return False
        return True

    assert sorted(at_once([partial(take, digest) for digest in "abcd"])) == [False, False, False, True]
    assert len(store.transaction(tokens.listing)) == 1
