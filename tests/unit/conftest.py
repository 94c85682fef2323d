"""A front desk, or a whole fleet, for each test that asks for one."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fleet import Fleet
from support.office import Office
from support.promise import blank

from cronkeeper.common.store.store import Store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with our tables, to be copied."""
    path = tmp_path_factory.mktemp("database") / "cronkeeper.db"
    store = Store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path


@pytest.fixture
def make_office(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., Office]]:
    """Makes a front desk, with as many places for waiting requests as are asked for."""
    made: list[Office] = []

    def make(max_waiters: int = 2) -> Office:
        folder = tmp_path / f"office-{len(made)}"
        folder.mkdir()
        shutil.copy(empty_database, folder)
        made.append(Office(folder, max_waiters))
        return made[-1]

    yield make
    for office in made:
        office.close()


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


@pytest.fixture(scope="session")
def empty_office(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Office]:
    """One for all tests that leave nothing behind."""
    folder = tmp_path_factory.mktemp("office")
    shutil.copy(empty_database, folder)
    office = Office(folder)
    yield office
    office.close()


@pytest.fixture(scope="session")
def memory() -> Iterator[Store]:
    """A database in memory, for one test after the other."""
    store = Store("sqlite://")
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def make_fleet(tmp_path: Path, memory: Store) -> Callable[..., Fleet]:
    """Makes a fleet of the nodes that are named; see `Fleet` for its trouble."""

    def make(*nodes: str, **options: Any) -> Fleet:
        fleet = Fleet(tmp_path, blank(memory), nodes, **options)
        fleet.go(2)
        return fleet

    return make


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet]) -> Fleet:
    """One leader, and one node named alpha."""
    return make_fleet("alpha")
