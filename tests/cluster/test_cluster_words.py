"""`make cluster`, as a person uses it: up, status, down; and nothing is left behind, even after a kill -9."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.wait import wait_until

ROOT = Path(__file__).parents[2]


class Words:
    """The command, for one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT / "deploy/testbed")}
        self._up: subprocess.Popen[str] | None = None

    def say(self, word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(word), env=self._environment, capture_output=True, text=True, check=False
        )

    def up(self) -> None:
        with (self.home.parent / "said").open("w") as log:
            self._up = subprocess.Popen(
                [*self._command("up"), "--nodes", "1", "--port", "0"],
                env=self._environment,
                stdout=log,
                stderr=log,
                text=True,
            )
        wait_until(lambda: (self.home / "state.json").exists() or self.ended(), 60)
        assert not self.ended(), (self.home.parent / "said").read_text()

    def ended(self) -> bool:
        return self._up is None or self._up.poll() is not None

    def kill(self) -> None:
        if self._up is not None:
            self._up.kill()
            self._up.wait()

    def processes(self) -> list[str]:
        """The processes that have the home in their command line, but ours that ask."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.home) in text:
                found.append(text)
        return found

    def _command(self, word: str) -> list[str]:
        return [sys.executable, "-m", "testbed", word, "--home", str(self.home)]


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Words]:
    words = Words(tmp_path / "cluster")
    yield words
    words.kill()


def test_up_status_and_down(words: Words) -> None:
    assert words.say("status").stdout == "no cluster runs: make cluster\n"
    words.up()
    said = words.say("status").stdout
    for part in ("zookeeper", "mariadb", "seaweedfs", "api", "manager 1", "manager 2", "worker n1"):
        assert f"{part} " in said
    assert "is down" not in said
    assert "one runs already" in words.say("up").stderr
    assert words.say("down").stdout == "the cluster is gone\n"
    wait_until(words.ended)
    assert words.processes() == []
    assert not words.home.exists()


def test_after_a_kill_nothing_runs_and_the_next_one_starts(words: Words) -> None:
    words.up()
    words.kill()
    wait_until(lambda: words.processes() == [], 20)
    assert words.say("status").returncode == 1
    words.up()
    assert words.say("down").returncode == 0
