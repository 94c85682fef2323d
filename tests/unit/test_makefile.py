"""What make hands on of what people give it."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("goal", ["up", "down"])
@pytest.mark.parametrize(
    ("given", "folder"),
    [("./var", "./var"), ("/srv/my var", "/srv/my var"), ("~/my var", "/home/ann/my var")],
)
def test_a_folder_may_have_a_space_in_its_name(goal: str, given: str, folder: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", goal, f"HOME_DIR={given}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HOME": "/home/ann", "MAKEFLAGS": ""},
    )
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[words.index("--home") + 1] == folder
