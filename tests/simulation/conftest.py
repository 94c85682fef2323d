"""A store for all tests, each of which empties it."""

from collections.abc import Iterator

import pytest

from cronkeeper.common.store.store import Store


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    store = Store("sqlite://")
    store.upgrade()
    yield store
    store.close()
