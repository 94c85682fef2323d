"""Installs on hosts made of namespaces. Everything is torn down with the test process, however it ends."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.installs import Embedded, Testbed
from testbed.cluster import Cluster
from testbed.hosts import USER, Host


@pytest.fixture(scope="module", params=["embedded, unprivileged", "embedded, root", "test-bed"])
def install(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Embedded | Testbed]:
    """Each install in turn, with foreign lines in its crontabs."""
    home = tmp_path_factory.mktemp("install")
    if request.param == "test-bed":
        with Cluster(home / "cluster") as cluster:
            testbed = Testbed(cluster)
            testbed.seed_foreign_lines()
            yield testbed
        return
    user = "root" if request.param == "embedded, root" else USER
    with Host(None, "embedded", "", home / "host") as host:
        embedded = Embedded(host, user, root_home=home)
        embedded.seed_foreign_lines()
        embedded.start()
        yield embedded
        embedded.stop()


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that jobs of any user reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="cronkeeper-jobs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
