"""A copy of the repository: its files alone, nothing that was built or run in its folder."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_to(folder: Path) -> None:
    """Put the files into the folder."""
    listing = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, check=True, capture_output=True).stdout
    there = b"\0".join(each for each in files.split(b"\0") if each and (ROOT / os.fsdecode(each)).exists())
    copy = ["xargs", "-0", "cp", "--parents", "-t", folder]
    subprocess.run(copy, cwd=ROOT, input=there, check=True)
