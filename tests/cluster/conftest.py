"""Installs on hosts made of namespaces. Everything is torn down with the test process, however it ends."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.installs import Embedded, Testbed
from testbed.cluster import Cluster, Plan
from testbed.hosts import USER, Host

NAMES = ("embedded, unprivileged", "embedded, root", "test-bed")
WHOLE = Plan(zookeepers=3, apis=2, databases=3)
"""An ensemble, Galera, and two APIs behind HAProxy, which both the API and SQL are reached through."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The whole test-bed, with two managers and two nodes."""
    with Cluster(tmp_path_factory.mktemp("whole") / "cluster", plan=WHOLE) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installs(
    tmp_path_factory: pytest.TempPathFactory, whole: Cluster
) -> Iterator[dict[str, Embedded | Testbed]]:
    """Every install, with foreign lines in its crontabs: all at once, so that their minutes pass together."""
    home = tmp_path_factory.mktemp("installs")
    with ExitStack() as stack:
        made: dict[str, Embedded | Testbed] = {"test-bed": Testbed(whole)}
        for name, user in (("embedded, unprivileged", USER), ("embedded, root", "root")):
            place = home / user
            place.mkdir()
            host = stack.enter_context(Host(None, f"of-{user}", "", place / "host"))
            made[name] = Embedded(host, user, root_home=place)
        for install in made.values():
            install.seed_foreign_lines()
            if isinstance(install, Embedded):
                install.start()
                stack.callback(install.stop)
        yield made


@pytest.fixture(scope="module", params=NAMES)
def install(request: pytest.FixtureRequest, installs: dict[str, Embedded | Testbed]) -> Embedded | Testbed:
    """Each install in turn."""
    return installs[request.param]


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that jobs of any user reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="cronkeeper-jobs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
