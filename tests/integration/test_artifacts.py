"""The contract of the stores of artifacts, kept by both of them."""

import signal
import subprocess
import sys
import tracemalloc
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from support.proxy import Proxy
from support.wait import wait_until
from testbed.services import SeaweedFS, free_port

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.artifacts.s3 import S3Settings, S3Store
from cronkeeper.common.artifacts.store import Address, ArtifactStore, Corrupt, Stored, sha256_of
from cronkeeper.common.errors import Invalid, NotFound, Unavailable

CONTENT = b"#!/bin/sh\necho \xff\x00 hello\n" * 1000
NAME = sha256_of(CONTENT)


class Backend(ABC):
    """A store, and what lies behind it."""

    store: ArtifactStore

    @abstractmethod
    def objects(self) -> int:
        """How many objects there are."""

    @abstractmethod
    def overwrite(self, sha256: str, content: bytes) -> None:
        """Put something else in an artifact's place."""


class Directory(Backend):
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = DirectoryStore(root)

    def objects(self) -> int:
        return sum(path.is_file() for path in self.root.rglob("*"))

    def overwrite(self, sha256: str, content: bytes) -> None:
        (self.root / sha256[:2] / sha256).write_bytes(content)


class S3(Backend):
    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.store = S3Store(settings)
        session = boto3.Session(settings.access_key, settings.secret_key, region_name=settings.region)
        self.bucket = session.resource("s3", endpoint_url=settings.endpoint).Bucket(settings.bucket)

    def objects(self) -> int:
        return len(list(self.bucket.objects.filter(Prefix=self.settings.prefix)))

    def overwrite(self, sha256: str, content: bytes) -> None:
        self.bucket.put_object(Key=self.settings.prefix + sha256, Body=content)


def settings_of(server: SeaweedFS) -> S3Settings:
    """Under a fresh prefix, so that tests don't meet."""
    return S3Settings(
        endpoint=server.endpoint,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
        prefix=f"{uuid.uuid4().hex}/",
    )


@pytest.fixture(params=["directory", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "directory":
        return Directory(tmp_path / "store")
    return S3(settings_of(request.getfixturevalue("seaweedfs")))


@pytest.fixture
def settings(seaweedfs: SeaweedFS) -> S3Settings:
    return settings_of(seaweedfs)


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[Proxy]:
    with Proxy(seaweedfs.host, seaweedfs.port) as proxy:
        yield proxy


def test_what_was_put_is_fetched_as_it_was(backend: Backend, tmp_path: Path) -> None:
    assert backend.store.put(CONTENT) == NAME
    backend.store.fetch(NAME, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_an_empty_artifact_is_one_too(backend: Backend, tmp_path: Path) -> None:
    backend.store.fetch(backend.store.put(b""), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""


def test_what_is_put_twice_is_stored_once(backend: Backend) -> None:
    assert backend.store.put(CONTENT) == backend.store.put(CONTENT)
    assert backend.objects() == 1


def test_eight_puts_of_the_same_content_at_once_all_succeed_and_store_it_once(
    backend: Backend, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: backend.store.put(CONTENT), range(8)))
    assert names == {NAME}
    assert backend.objects() == 1
    backend.store.fetch(NAME, tmp_path / "target")


def test_a_fetch_replaces_the_target(backend: Backend, tmp_path: Path) -> None:
    backend.store.put(CONTENT)
    target = tmp_path / "target"
    target.write_bytes(b"what was there before, and is longer" * 10000)
    backend.store.fetch(NAME, target)
    assert target.read_bytes() == CONTENT


def test_an_artifact_that_was_never_put_is_not_found(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=NAME):
        backend.store.fetch(NAME, tmp_path / "target")
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "store"])


@pytest.mark.parametrize("other", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:]])
def test_an_object_of_other_content_is_corrupt_and_leaves_no_target(
    backend: Backend, tmp_path: Path, other: bytes
) -> None:
    backend.store.put(CONTENT)
    backend.overwrite(NAME, other)
    folder = tmp_path / "fetched"
    folder.mkdir()
    with pytest.raises(Corrupt, match=NAME):
        backend.store.fetch(NAME, folder / "target")
    assert list(folder.iterdir()) == []


def test_what_is_no_sha256_is_refused(backend: Backend, tmp_path: Path) -> None:
    for name in ("../secret", "", NAME.upper(), NAME + "0"):
        with pytest.raises(Invalid):
            backend.store.fetch(name, tmp_path / "target")
        with pytest.raises(Invalid):
            backend.store.url(name)


def test_the_check_of_a_store_that_works_is_silent_and_leaves_nothing(backend: Backend) -> None:
    backend.store.check()
    assert backend.objects() == 0


def test_64_mib_are_fetched_in_a_fraction_of_that_memory(backend: Backend, tmp_path: Path) -> None:
    name = backend.store.put(bytes(64 * 1024 * 1024))
    tracemalloc.start()
    backend.store.fetch(name, tmp_path / "target")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "target").stat().st_size == 64 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


def test_what_comes_in_pieces_is_stored_as_one(backend: Backend, tmp_path: Path) -> None:
    pieces = (CONTENT[:1], b"", CONTENT[1:5000], CONTENT[5000:])
    assert backend.store.put_stream(iter(pieces)) == Stored(NAME, len(CONTENT))
    assert backend.store.put(CONTENT) == NAME
    assert backend.objects() == 1
    backend.store.fetch(NAME, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_64_mib_are_stored_in_a_fraction_of_that_memory(backend: Backend) -> None:
    backend.store.put(b"whatever is loaded at the first use")
    tracemalloc.start()
    stored = backend.store.put_stream(bytes(1024 * 1024) for _ in range(64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stored.size == backend.store.size(stored.sha256) == 64 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


def test_a_source_that_breaks_off_leaves_nothing(backend: Backend) -> None:
    def source() -> Iterator[bytes]:
        yield CONTENT
        raise ConnectionAbortedError

    with pytest.raises(Unavailable):
        backend.store.put_stream(source())
    assert backend.objects() == 0


def test_a_writer_that_is_killed_leaves_what_the_next_start_removes_and_a_living_one_goes_on(
    tmp_path: Path,
) -> None:
    behind = Directory(tmp_path / "store")
    killed = (
        "import os, pathlib, signal, sys\n"
        "from cronkeeper.common.artifacts.directory import DirectoryStore\n"
        "chunks = (b'x' if number < 9 else os.kill(os.getpid(), signal.SIGKILL) for number in range(10))\n"
        "DirectoryStore(pathlib.Path(sys.argv[1])).put_stream(chunks)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(behind.root)], check=False, cwd="/")
    assert done.returncode == -signal.SIGKILL
    assert behind.objects() == 1

    def source() -> Iterator[bytes]:
        yield CONTENT[:100]
        DirectoryStore(behind.root)
        assert behind.objects() == 1
        yield CONTENT[100:]

    assert behind.store.put_stream(source()).sha256 == NAME
    assert [path.name for path in behind.root.rglob("*") if path.is_file()] == [NAME]


def test_the_size_is_that_of_what_was_put(backend: Backend) -> None:
    with pytest.raises(NotFound, match=NAME):
        backend.store.size(NAME)
    backend.store.put(CONTENT)
    assert backend.store.size(NAME) == len(CONTENT)
    assert backend.store.size(backend.store.put(b"")) == 0


@pytest.mark.parametrize("filename", [None, "backup.sh", "Nächtlich #1 %20?.sh", "..."])
def test_a_url_gives_back_what_it_was_made_of(backend: Backend, filename: str | None) -> None:
    assert backend.store.resolve(backend.store.url(NAME, filename)) == Address(NAME, filename)


def test_a_url_of_anything_else_is_refused_with_one_that_is_accepted(backend: Backend) -> None:
    good = backend.store.url(NAME)
    folder = good.removesuffix(NAME)
    strangers = ["", NAME, "/etc/passwd", "file:///etc/passwd", "s3://other/" + NAME, "https://example.org/x"]
    disguised = [good + "/", good + "?", folder, folder + "../" + NAME, folder + NAME.upper(), " " + good]
    for url in (*strangers, *disguised):
        with pytest.raises(Invalid, match=f"accepted: a URL such as {folder[:12]}.*#backup.sh"):
            backend.store.resolve(url)
    for name in ("", ".", "..", "%2Fetc%2Fpasswd", "a/b", "a%0Ab", "%FF%00", "x" * 201):
        with pytest.raises(Invalid, match="a file's name is expected"):
            backend.store.resolve(f"{good}#{name}")


def test_the_address_of_an_artifact_is_one_that_people_know(settings: S3Settings, tmp_path: Path) -> None:
    file = DirectoryStore(tmp_path).url(NAME, "backup.sh")
    assert file == f"file://{tmp_path}/{NAME[:2]}/{NAME}#backup.sh"
    assert S3Store(settings).url(NAME) == f"s3://{settings.bucket}/{settings.prefix}{NAME}"


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file" / "store")
    with pytest.raises(Unavailable):
        store.put(CONTENT)
    with pytest.raises(Unavailable):
        store.check()


def test_a_store_whose_server_is_killed_is_unavailable_and_works_again_by_itself(
    own_seaweedfs: Callable[[], SeaweedFS], tmp_path: Path
) -> None:
    server = own_seaweedfs()
    store = S3Store(settings_of(server))
    store.put(CONTENT)
    server.kill()
    for call in (lambda: store.put(b"other"), lambda: store.fetch(NAME, tmp_path / "target"), store.check):
        with pytest.raises(Unavailable, match=server.endpoint):
            call()
    assert list(tmp_path.iterdir()) == []
    server.start()

    def fetched() -> bool:
        with suppress(Unavailable):  # it answers a little before it knows again what it has
            store.fetch(NAME, tmp_path / "target")
        return (tmp_path / "target").exists()

    wait_until(fetched)
    assert store.put(b"other") == sha256_of(b"other")
    store.check()


def test_a_put_whose_answer_was_lost_is_repeated_and_succeeds(settings: S3Settings, proxy: Proxy) -> None:
    behind = S3(settings)
    store = S3Store(replace(settings, endpoint=f"http://127.0.0.1:{proxy.port}"))
    store.check()
    proxy.swallow_replies()
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(store.put, CONTENT)
        wait_until(behind.objects)
        proxy.cut()
        proxy.heal()
        assert put.result() == NAME
    assert behind.objects() == 1


def test_a_fetch_that_breaks_off_is_unavailable_leaves_no_target_and_may_be_repeated(
    settings: S3Settings, proxy: Proxy, tmp_path: Path
) -> None:
    name = S3Store(settings).put(bytes(8 * 1024 * 1024))
    store = S3Store(replace(settings, endpoint=f"http://127.0.0.1:{proxy.port}"))
    proxy.cut_after(4 * 1024 * 1024)
    with pytest.raises(Unavailable):
        store.fetch(name, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []
    proxy.heal()
    store.fetch(name, tmp_path / "target")


def test_wrong_credentials_name_the_setting_to_look_at(settings: S3Settings, tmp_path: Path) -> None:
    stranger = S3Store(replace(settings, access_key="stranger"))
    with pytest.raises(Unavailable, match="setting access_key"):
        stranger.put(CONTENT)
    forger = S3Store(replace(settings, secret_key="wrong"))
    with pytest.raises(Unavailable, match="setting secret_key"):
        forger.fetch(NAME, tmp_path / "target")
    for store in (stranger, forger):
        with pytest.raises(Unavailable, match="secret_key"):
            store.check()


def test_a_bucket_that_does_not_exist_is_named(settings: S3Settings, tmp_path: Path) -> None:
    store = S3Store(replace(settings, bucket="no-such-bucket"))
    fetch, size = (lambda: store.fetch(NAME, tmp_path / "target"), lambda: store.size(NAME))
    for call in (lambda: store.put(CONTENT), fetch, size, store.check):
        with pytest.raises(Unavailable, match="no bucket no-such-bucket"):
            call()


def test_a_server_that_is_not_there_is_unavailable(settings: S3Settings) -> None:
    store = S3Store(replace(settings, endpoint=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Unavailable, match="does not answer"):
        store.check()


def test_the_secret_key_is_in_no_text_of_the_settings(settings: S3Settings) -> None:
    assert settings.secret_key not in repr(settings)
