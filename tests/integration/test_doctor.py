"""`cronkeeper doctor` on the real servers: what works is said, and of what does not, what to do."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from testbed.server import free_port
from testbed.services import SeaweedFS

from cronkeeper.cli.main import main
from cronkeeper.common.store.store import Store

CONFIG = """
[api]
url = "{api}"
[sql]
url = "{sql}"
[zookeeper]
hosts = "{zookeeper}"
[s3]
endpoint = "{s3}"
access_key = "{access}"
secret_key = "{secret}"
[worker]
key_file = "/nowhere/node.key"
"""


def examined(file: Path, **places: str) -> tuple[int, dict[str, Any]]:
    file.write_text(CONFIG.format(**places))
    done = CliRunner().invoke(main, ["doctor", "--config", str(file), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, {each["what"]: each for each in json.loads(done.output)}


def test_what_works_is_said_so(
    tmp_path: Path, api: str, maria_url: str, zk_chroot: str, seaweedfs: SeaweedFS
) -> None:
    store = Store(maria_url)
    store.upgrade()
    store.close()
    code, found = examined(
        tmp_path / "right.toml",
        api=api,
        sql=maria_url,
        zookeeper=zk_chroot,
        s3=seaweedfs.endpoint,
        access=seaweedfs.access_key,
        secret=seaweedfs.secret_key,
    )
    assert {what: each["verdict"] for what, each in found.items()} == dict.fromkeys(
        ("configuration", "API", "SQL", "ZooKeeper", "S3"), "ok"
    ), found
    assert code == 0


def test_what_does_not_is_named_with_what_to_do(tmp_path: Path, maria_url: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    code, found = examined(
        tmp_path / "wrong.toml",
        api=f"http://{nobody}",
        sql=maria_url,
        zookeeper=nobody,
        s3=f"http://{nobody}",
        access="a",
        secret="b",
    )
    assert code == 1
    bad = {what for what, each in found.items() if each["verdict"] == "bad"}
    assert bad == {"API", "SQL", "ZooKeeper", "S3"}
    assert f"no cronkeeper answers at http://{nobody}" in found["API"]["said"]
    assert "lacks cronkeeper's tables" in found["SQL"]["said"]


def test_a_wrong_configuration_is_all_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[sql]\nurll = 1\n")
    done = CliRunner().invoke(main, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert done.output.startswith("bad  configuration: ")
    assert "urll" in done.output
