"""A file that is too large for a job's own request goes its own way, and people need not know."""

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from support.office import TOKENS

from cronkeeper.api.identity import Role
from cronkeeper.cli.main import main
from cronkeeper.common.artifacts.store import sha256_of


def said(api: str, *words: str) -> Any:
    done = CliRunner().invoke(main, [*words, "--json", "--url", api, "--token", TOKENS[Role.ADMIN]])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_large_binary_is_put_before_its_job_and_so_is_its_successor(api: str, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"\x7fELF" + os.urandom(20 * 1024 * 1024))
    job = said(api, "job", "create", "--binary", str(file))
    assert job["executable"].endswith(f"{sha256_of(file.read_bytes())}#large")
    assert (job["type"], job["filename"]) == ("binary", "large")
    file.write_bytes(b"\x7fELF" + os.urandom(20 * 1024 * 1024))
    edited = said(api, "job", "edit", job["id"], "--binary", str(file))
    assert edited["executable"].endswith(f"{sha256_of(file.read_bytes())}#large")
    assert edited["rev"] == job["rev"] + 1
