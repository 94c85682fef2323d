"""The contract of the stores for what runs wrote, kept by both of them."""

import contextlib
import io
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from support.proxy import Proxy
from support.wait import wait_until
from testbed.services import SeaweedFS

from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.artifacts.s3 import S3Settings, S3Store
from cronkeeper.common.artifacts.store import ArtifactStore, OutputName
from cronkeeper.common.errors import Invalid, NotFound, Unavailable

OUT = OutputName("42.1.20300131T110500Z.1", "stdout")
ERR = OutputName("42.1.20300131T110500Z.1", "stderr")
OTHER = OutputName("42.1.hand-1a2b3c4d.1", "stdout")
CONTENT = b"a line\xff\x00\n" * 1000
MIB = 1024 * 1024


def settings_of(server: SeaweedFS, prefix: str) -> S3Settings:
    return S3Settings(
        endpoint=server.endpoint,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
        prefix=prefix,
    )


@pytest.fixture
def settings(seaweedfs: SeaweedFS) -> S3Settings:
    """Under a fresh prefix, so that tests don't meet."""
    return settings_of(seaweedfs, f"{uuid.uuid4().hex}/artifacts/")


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    return S3Store(request.getfixturevalue("settings"))


@pytest.fixture
def proxy(seaweedfs: SeaweedFS) -> Iterator[Proxy]:
    with Proxy(seaweedfs.host, seaweedfs.port) as proxy:
        yield proxy


def put(store: ArtifactStore, name: OutputName, content: bytes) -> None:
    store.put_output(name, io.BytesIO(content), len(content))


def read(store: ArtifactStore, name: OutputName) -> bytes:
    opened = store.open_output(name)
    try:
        content = b"".join(opened)
        assert opened.size == len(content)
        return content
    finally:
        opened.close()


class Zeros(io.RawIOBase):
    """So many bytes, which are nowhere; reading fails from `breaks_at` on."""

    def __init__(self, size: int, breaks_at: int | None = None) -> None:
        self._size, self._at = size, 0
        self._breaks_at = breaks_at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._breaks_at is not None and self._at >= self._breaks_at:
            raise OSError("the disk is broken")
        count = min(len(buffer), self._size - self._at)
        buffer[:count] = bytes(count)
        self._at += count
        return count


def test_what_was_put_is_read_as_it_was_and_each_under_its_own_name(store: ArtifactStore) -> None:
    put(store, OUT, CONTENT)
    put(store, ERR, b"e")
    put(store, OTHER, b"")
    assert [read(store, name) for name in (OUT, ERR, OTHER)] == [CONTENT, b"e", b""]


def test_what_is_put_again_replaces_what_was_there(store: ArtifactStore) -> None:
    put(store, OUT, CONTENT)
    put(store, OUT, b"another")
    assert read(store, OUT) == b"another"


def test_what_was_never_put_is_not_found(store: ArtifactStore) -> None:
    with pytest.raises(NotFound, match=r"42\.1\.20300131T110500Z\.1/stdout"):
        store.open_output(OUT)


def test_what_is_removed_is_gone_the_others_stay_and_removing_it_again_is_nothing(
    store: ArtifactStore,
) -> None:
    for name in (OUT, ERR, OTHER):
        put(store, name, CONTENT)
    for _ in range(2):
        store.remove_outputs([OUT, OTHER])
        for gone in (OUT, OTHER):
            with pytest.raises(NotFound):
                store.open_output(gone)
        assert read(store, ERR) == CONTENT
    store.remove_outputs([])
    put(store, OUT, b"again")
    assert read(store, OUT) == b"again"


def test_more_are_removed_than_go_into_one_request(store: ArtifactStore) -> None:
    last = OutputName("1.1.hand-2000.1", "stderr")
    put(store, last, CONTENT)
    store.remove_outputs([*(OutputName(f"1.1.hand-{number}.1", "stderr") for number in range(1500)), last])
    with pytest.raises(NotFound):
        store.open_output(last)


@pytest.mark.parametrize(
    ("run_id", "stream"),
    [("..", "stdout"), ("", "stdout"), ("a/b", "stdout"), ("42.1.x.1", "../stdout"), ("42.1.x.1", "plan")],
)
def test_what_names_no_output_is_refused(run_id: str, stream: str) -> None:
    with pytest.raises(Invalid):
        OutputName(run_id, stream)


def test_64_mib_are_put_and_read_in_a_fraction_of_that_memory(store: ArtifactStore) -> None:
    put(store, OUT, b"whatever is loaded at the first use")
    read(store, OUT)
    tracemalloc.start()
    store.put_output(OUT, io.BufferedReader(Zeros(64 * MIB), MIB), 64 * MIB)  # type: ignore[arg-type]
    opened = store.open_output(OUT)
    assert (opened.size, sum(len(piece) for piece in opened)) == (64 * MIB, 64 * MIB)
    opened.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_source_that_breaks_off_is_unavailable_and_leaves_what_was_there(
    store: ArtifactStore,
) -> None:
    put(store, OUT, CONTENT)
    broken = io.BufferedReader(Zeros(4 * MIB, breaks_at=2 * MIB), MIB)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        store.put_output(OUT, broken, 4 * MIB)
    assert read(store, OUT) == CONTENT


def test_one_that_is_closed_before_its_end_does_no_harm(store: ArtifactStore) -> None:
    put(store, OUT, bytes(4 * MIB))
    for pieces in (0, 1):
        opened = store.open_output(OUT)
        for _, _piece in zip(range(pieces), opened, strict=False):
            pass
        opened.close()
    assert len(read(store, OUT)) == 4 * MIB


@pytest.mark.parametrize(
    ("prefix", "outputs"), [("artifacts/", "outputs/"), ("fleet/", "fleet/outputs/"), ("", "outputs/")]
)
def test_outputs_lie_beside_the_artifacts(seaweedfs: SeaweedFS, prefix: str, outputs: str) -> None:
    fresh = f"{uuid.uuid4().hex}/"
    settings = settings_of(seaweedfs, fresh + prefix)
    put(S3Store(settings), OUT, CONTENT)
    session = boto3.Session(settings.access_key, settings.secret_key, region_name=settings.region)
    bucket = session.resource("s3", endpoint_url=settings.endpoint).Bucket(settings.bucket)
    keys = [found.key for found in bucket.objects.filter(Prefix=fresh)]
    assert keys == [f"{fresh}{outputs}42.1.20300131T110500Z.1/stdout"]


def test_in_a_directory_nothing_is_left_of_what_was_removed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    put(store, OUT, CONTENT)
    put(store, ERR, CONTENT)
    assert (tmp_path / "outputs" / OUT.run_id / "stdout").read_bytes() == CONTENT
    store.remove_outputs([OUT, ERR])
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs"]


def test_a_read_that_breaks_off_is_unavailable(settings: S3Settings, proxy: Proxy) -> None:
    put(S3Store(settings), OUT, bytes(8 * MIB))
    store = S3Store(replace(settings, endpoint=f"http://127.0.0.1:{proxy.port}"))
    proxy.cut_after(4 * MIB)
    opened = store.open_output(OUT)
    with pytest.raises(Unavailable):
        for _piece in opened:
            pass
    opened.close()


def test_a_server_that_is_killed_is_unavailable_and_works_again_by_itself(
    own_seaweedfs: Callable[[], SeaweedFS],
) -> None:
    server = own_seaweedfs()
    store = S3Store(settings_of(server, "artifacts/"))
    put(store, OUT, CONTENT)
    server.kill()
    calls: list[Callable[[], object]] = [
        lambda: put(store, OUT, b"other"),
        lambda: store.open_output(OUT),
        lambda: store.remove_outputs([OUT]),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match=server.endpoint):
            call()
    server.start()

    def works() -> bool:
        with contextlib.suppress(Unavailable):
            return read(store, OUT) == CONTENT
        return False

    # What `start` waits for is an empty object, which it takes in before it has found this one.
    wait_until(works, 20)
    store.remove_outputs([OUT])


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DirectoryStore(tmp_path / "file" / "store")
    with pytest.raises(Unavailable):
        put(store, OUT, CONTENT)
