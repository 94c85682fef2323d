"""The node's local copies of artifacts."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.wait import wait_until

from cronkeeper.common.artifacts import cache as module
from cronkeeper.common.artifacts.cache import Cache
from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.artifacts.store import ArtifactStore, Corrupt, sha256_of
from cronkeeper.common.errors import CronkeeperError, Invalid, NotFound, Unavailable

SCRIPT = b"#!/bin/sh\necho hello\n"
NAME = sha256_of(SCRIPT)


class Flaky(DirectoryStore):
    """A store that is away for the first calls of `fetch`, and that may be held up."""

    def __init__(self, folder: Path, *, failures: int = 0) -> None:
        super().__init__(folder)
        self.failures = failures
        self.fetches = 0
        self.open = threading.Event()
        self.open.set()

    def fetch(self, sha256: str, target: Path) -> None:
        self.fetches += 1
        assert self.open.wait(10)
        if self.fetches <= self.failures:
            raise Unavailable("the store is away")
        super().fetch(sha256, target)


MakeCache = Callable[[ArtifactStore], Cache]


@pytest.fixture
def store(tmp_path: Path) -> Flaky:
    return Flaky(tmp_path / "store")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeCache]:
    made: list[Cache] = []

    def make_cache(store: ArtifactStore) -> Cache:
        made.append(Cache(tmp_path / "cache", store))
        return made[-1]

    yield make_cache
    for cache in made:
        cache.close()


def test_a_requested_artifact_comes_executable_and_its_owner_is_told(store: Flaky, make: MakeCache) -> None:
    store.put(SCRIPT)
    cache = make(store)
    told = threading.Event()
    cache.notify = told.set
    assert cache.path(NAME) is None
    cache.request(NAME)
    assert told.wait(10)
    path = cache.path(NAME)
    assert path is not None
    assert path.read_bytes() == SCRIPT
    assert path.stat().st_mode & 0o777 == 0o755
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert [file.name for file in path.parent.iterdir()] == [NAME]


def test_requests_while_a_fetch_is_under_way_start_no_other(store: Flaky, make: MakeCache) -> None:
    store.put(SCRIPT)
    cache = make(store)
    store.open.clear()
    for _ in range(5):
        cache.request(NAME)
    assert cache.path(NAME) is None
    store.open.set()
    wait_until(lambda: cache.path(NAME))
    assert store.fetches == 1


def test_a_store_that_was_away_is_asked_again_until_it_answers(
    store: Flaky, make: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    store.put(SCRIPT)
    store.failures = 3
    cache = make(store)
    cache.request(NAME)
    wait_until(lambda: cache.path(NAME))
    assert store.fetches == 4
    assert cache.error(NAME) is None


def test_an_artifact_that_does_not_exist_is_a_final_error_until_it_is_requested_again(
    store: Flaky, make: MakeCache
) -> None:
    cache = make(store)
    cache.request(NAME)
    assert isinstance(wait_until(lambda: cache.error(NAME)), NotFound)
    assert cache.path(NAME) is None
    store.put(SCRIPT)
    cache.request(NAME)
    wait_until(lambda: cache.path(NAME))
    assert cache.error(NAME) is None


def test_an_artifact_that_is_corrupt_in_the_store_is_a_final_error_and_leaves_no_file(
    store: Flaky, make: MakeCache, tmp_path: Path
) -> None:
    store.put(SCRIPT)
    (tmp_path / "store" / NAME[:2] / NAME).write_bytes(b"something else")
    cache = make(store)
    cache.request(NAME)
    assert isinstance(wait_until(lambda: cache.error(NAME)), Corrupt)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_of_an_earlier_process_is_used_without_the_store(store: Flaky, make: MakeCache) -> None:
    store.put(SCRIPT)
    first = make(store)
    first.request(NAME)
    wait_until(lambda: first.path(NAME))
    second = make(store)
    assert second.path(NAME) is None, "it is yet to be checked, which the caller need not wait for"
    second.request(NAME)
    wait_until(lambda: second.path(NAME))
    assert store.fetches == 1


def test_a_file_of_an_earlier_process_is_at_hand_while_a_store_that_is_away_holds_up_others(
    store: Flaky, make: MakeCache
) -> None:
    store.put(SCRIPT)
    first = make(store)
    first.request(NAME)
    wait_until(lambda: first.path(NAME))
    store.failures = 10**6
    second = make(store)
    for number in range(5):
        second.request(sha256_of(b"%d" % number))
    second.request(NAME)
    wait_until(lambda: second.path(NAME))


def test_a_file_that_was_spoilt_since_is_not_used_and_is_fetched_again(
    store: Flaky, make: MakeCache, tmp_path: Path
) -> None:
    store.put(SCRIPT)
    cache = make(store)
    (tmp_path / "cache" / NAME).write_bytes(SCRIPT[:5])
    assert cache.path(NAME) is None
    cache.request(NAME)
    path = wait_until(lambda: cache.path(NAME))
    assert path is not None
    assert path.read_bytes() == SCRIPT


def test_a_file_that_was_removed_is_not_handed_out(store: Flaky, make: MakeCache) -> None:
    store.put(SCRIPT)
    cache = make(store)
    cache.request(NAME)
    path = wait_until(lambda: cache.path(NAME))
    assert path is not None
    path.unlink()
    assert cache.path(NAME) is None


def test_a_folder_that_cannot_be_written_is_a_final_error(
    store: Flaky, make: MakeCache, tmp_path: Path
) -> None:
    store.put(SCRIPT)
    cache = make(store)
    (tmp_path / "cache").rmdir()
    cache.request(NAME)
    error = wait_until(lambda: cache.error(NAME))
    assert isinstance(error, CronkeeperError)
    assert "cannot be kept" in str(error)


def test_only_old_files_that_no_job_uses_are_removed(store: Flaky, make: MakeCache, tmp_path: Path) -> None:
    cache = make(store)
    names = [store.put(content) for content in (b"old", b"old but in use", b"new")]
    for name in names:
        cache.request(name)
    wait_until(lambda: all(cache.path(name) for name in names))
    two_days_ago = time.time() - 48 * 3600
    for name in names[:2]:
        os.utime(tmp_path / "cache" / name, (two_days_ago, two_days_ago))
    cache.keep({names[1]})
    assert [cache.path(name) is not None for name in names] == [False, True, True]


def test_what_is_no_sha256_is_refused_before_it_becomes_a_path(store: Flaky, make: MakeCache) -> None:
    cache = make(store)
    for call in (cache.path, cache.request):
        with pytest.raises(Invalid):
            call("../../etc/passwd")


def test_closing_does_not_wait_for_a_store_that_stays_away(store: Flaky, make: MakeCache) -> None:
    store.failures = 10**6
    cache = make(store)
    cache.request(NAME)
    wait_until(lambda: store.fetches)
    began = time.monotonic()
    cache.close()
    assert time.monotonic() - began < 5
