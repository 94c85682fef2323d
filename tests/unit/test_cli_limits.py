"""The command line never holds more of a file than the API takes, whatever it is given."""

import base64
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_api import JOB, FakeApi, Given

from cronkeeper.api import artifacts
from cronkeeper.api import fields as taken
from cronkeeper.cli import fields, upload

MEMORY = 400 * 1024 * 1024
"""Bytes of addresses: what is read without an end ends there."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    api.answer("POST", "/jobs", Given(201, JOB))
    yield api
    api.close()


def create(api: FakeApi, *words: str, stdin: Path = Path("/dev/null")) -> "subprocess.CompletedProcess[str]":
    """`cronkeeper job create` in a process of its own with little memory."""
    command = [sys.executable, "-m", "cronkeeper.cli.main", "job", "create", *words]
    environment = os.environ | {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token"}
    with stdin.open("rb") as opened:
        return subprocess.run(
            command,
            stdin=opened,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )


def test_the_limits_are_those_of_the_api() -> None:
    assert (fields.MAX_TEXT_BYTES, fields.MAX_FILE_BYTES) == (taken.MAX_TEXT_BYTES, taken.MAX_FILE_BYTES)
    assert upload.LARGEST == artifacts.MAX_BYTES
    assert upload.LARGE < fields.MAX_FILE_BYTES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--command", "true", "--stdin-file", "/dev/urandom"),
            "stdin: the text is too large; accepted: up to 65536",
        ),
        (
            ("--command", "true", "--stdin-file", "-"),
            "stdin: the text is too large; accepted: up to 65536 bytes",
        ),
        (
            ("--command", "true", "--env-file", "/dev/zero"),
            "env: /dev/zero is too large; accepted: up to 65536 bytes",
        ),
        (("--script", "/dev/zero"), "executable: the file is too large; accepted: up to 16777216 bytes"),
        (("--binary", "-"), "executable: the file is too large; accepted: up to 16777216 bytes"),
    ],
)
def test_what_has_no_end_is_refused_in_one_line(api: FakeApi, words: tuple[str, ...], said: str) -> None:
    done = create(api, *words, stdin=Path("/dev/zero"))

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert said in done.stderr
    assert api.asked == []


def test_a_file_that_is_larger_than_any_that_is_taken_is_not_sent(api: FakeApi, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(upload.LARGEST + 1)
    done = create(api, "--binary", str(tmp_path / "large"))
    assert (done.returncode, api.asked) == (1, [])
    assert "executable: the file is too large; accepted: up to 1073741824 bytes" in done.stderr


def test_a_token_is_not_looked_for_in_what_has_no_end(api: FakeApi) -> None:
    done = create(api, "--command", "true", "--token-file", "/dev/zero")
    assert done.returncode == 2
    assert "/dev/zero holds no token" in done.stderr


def test_a_text_of_just_the_limit_is_sent(api: FakeApi, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("é" * (fields.MAX_TEXT_BYTES // 2))
    assert create(api, "--command", "true", "--stdin-file", str(text)).returncode == 0
    assert api.asked[0].body["stdin"] == text.read_text()
    text.write_text(text.read_text() + "x")
    assert create(api, "--command", "true", "--stdin-file", str(text)).returncode == 1


def test_a_program_of_just_the_limit_is_taken_from_standard_input(api: FakeApi, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(bytes(fields.MAX_FILE_BYTES))
    assert create(api, "--binary", "-", stdin=program).returncode == 0
    assert len(base64.b64decode(api.asked[0].body["executable"])) == fields.MAX_FILE_BYTES
