"""A store on a fresh database of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cronkeeper.common.store.store import Store


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cronkeeper.db'}"
    maria_url: str = request.getfixturevalue("maria_url")
    return maria_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    store.upgrade()
    yield store
    store.close()
