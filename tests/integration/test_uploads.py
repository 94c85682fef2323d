"""What runs wrote comes into a real S3, whatever becomes of that meanwhile."""

from collections.abc import Callable
from pathlib import Path

from support.samples import plan
from support.wait import wait_until
from testbed.services import SeaweedFS

from cronkeeper.common.artifacts.lazy import LazyStore
from cronkeeper.common.artifacts.s3 import S3Settings, S3Store
from cronkeeper.common.artifacts.store import OutputName
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.uploads import Done, Uploads

SIZE = 5 * 1024 * 1024


def test_while_s3_is_away_output_waits_and_it_is_stored_once_that_is_back(
    own_seaweedfs: Callable[[], SeaweedFS], tmp_path: Path
) -> None:
    server = own_seaweedfs()
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    store = LazyStore(lambda: S3Store(S3Settings(endpoint=server.endpoint, bucket=server.bucket, **keys)))
    server.kill()
    uploads = Uploads(store, lambda: None)
    folders = [RunFolder.make(tmp_path, plan(f"1.1.hand-{number}.1")) for number in range(5)]
    for folder in folders:
        (folder.path / "stderr").write_bytes(folder.plan.run_id.encode() + bytes(SIZE))
        uploads.request(folder, {"stderr": SIZE})
    assert uploads.done() == []
    server.start()
    done: list[Done] = []
    wait_until(lambda: done.extend(uploads.done()) or len(done) == len(folders), 60)
    assert {each.run_id for each in done} == {folder.plan.run_id for folder in folders}
    for folder in folders:
        opened = store.open_output(OutputName(folder.plan.run_id, "stderr"))
        assert b"".join(opened) == (folder.path / "stderr").read_bytes()[:SIZE]
        opened.close()
