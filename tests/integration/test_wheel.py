"""What others install: the wheel, built as an index would get it, from the sdist."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.checkout import copy_to

FOLDERS = ("api", "cli", "common", "manager", "worker")
MAKE_SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
USE_IT = """
import sys
from cronkeeper.common.store import store, upgrade
from cronkeeper.worker import process
assert process.WRAPPER.is_file()
made = store.Store(f"sqlite:///{sys.argv[1]}")
made.upgrade()
made.check()
made.close()
print(upgrade.__file__)
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    """The last line that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().rpartition("\n")[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files alone: nothing that was built or run in this folder."""
    target = tmp_path_factory.mktemp("clone")
    copy_to(target)
    return target


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    sdist = folder / run(sys.executable, "-c", MAKE_SDIST, folder, cwd=clone)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index"]
    run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist, cwd=folder)
    (built,) = folder.glob("*.whl")
    unpacked = folder / "unpacked"
    zipfile.ZipFile(built).extractall(unpacked)
    return unpacked


def test_all_code_and_data_is_in_the_wheel_and_nothing_else(clone: Path, wheel: Path) -> None:
    wanted = {
        path.relative_to(clone)
        for folder in FOLDERS
        for path in (clone / folder).rglob("*")
        if path.is_file()
    }
    package = wheel / "cronkeeper"
    assert {path.relative_to(package) for path in package.rglob("*") if path.is_file()} == wanted
    assert Path("worker/wrapper.sh") in wanted
    assert Path("common/store/migrations/versions/v0001_first.py") in wanted


def test_the_wheel_puts_nothing_beside_its_own_name(wheel: Path) -> None:
    assert {path.name.partition("-")[0] for path in wheel.iterdir()} == {"cronkeeper"}
    (info,) = wheel.glob("*.dist-info")
    assert (info / "licenses/LICENSE").is_file()
    assert "# cronkeeper" in (info / "METADATA").read_text()
    assert "cronkeeper = cronkeeper.cli.main:main" in (info / "entry_points.txt").read_text()


def test_what_was_unpacked_finds_its_wrapper_and_its_migrations(wheel: Path, tmp_path: Path) -> None:
    where = run(sys.executable, "-c", USE_IT, tmp_path / "new.db", cwd=tmp_path, PYTHONPATH=str(wheel))
    assert Path(where).is_relative_to(wheel)


def test_the_sdist_can_be_tested_by_whoever_packages_it(clone: Path, tmp_path: Path) -> None:
    sdist = tmp_path / run(sys.executable, "-c", MAKE_SDIST, tmp_path, cwd=clone)
    listing = subprocess.run(["tar", "-tzf", sdist], check=True, capture_output=True, text=True).stdout
    inside = {line.partition("/")[2] for line in listing.splitlines()}
    for page in ("CHANGELOG.md", "README.md", "constraints.txt", "docs/architecture.md", "Makefile"):
        assert page in inside
    assert {each for each in inside if each.endswith(".py")} == {
        path.relative_to(clone).as_posix() for path in clone.rglob("*.py")
    }
