"""The README, as a newcomer follows it: a fresh clone, two terminals, every command as it stands."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.wait import wait_until
from testbed.hosts import USER, USER_HOME, Host

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(terminal: str) -> list[str]:
    return re.findall(rf"^```sh {terminal}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    """What a login gives, and how this machine reaches its package index."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT"))}
    kept |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    python = str(Path(os.path.realpath(ROOT / ".venv/bin/python")).parent)
    return {**kept, "PATH": f"{python}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(USER_HOME), "USER": USER}


@pytest.mark.timeout(600)
def test_every_command_of_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    with Host(None, "newcomer", "", tmp_path / "host") as host:
        clone = USER_HOME / "cronkeeper"
        seen = host.user_home / "cronkeeper"
        files = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        subprocess.run(
            ["xargs", "-0", "cp", "--parents", "-t", _made(seen)], cwd=ROOT, input=files, check=True
        )
        subprocess.run(["chown", "-R", f"{61000}:{61000}", seen], check=True)
        said = tmp_path / "first"
        with said.open("wb") as log:
            first = host.exec(
                ["bash", "-ec", "\n".join(blocks("first"))],
                USER,
                environment(),
                clone,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: b"cronkeeper is ready" in said.read_bytes() or first.poll() is not None, 300)
            assert first.poll() is None, said.read_text()
            for block in blocks("second"):
                second = subprocess.run(
                    host.command(["bash", "-euxc", block], USER, environment(), clone),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert second.returncode == 0, second.stdout + second.stderr
                print(second.stdout)
            wait_until(lambda: first.poll() is not None, 30)
            assert "cronkeeper has stopped" in said.read_text()
            assert "cronkeeper" not in host.run(["crontab", "-l"], USER, check=False).stdout
        finally:
            if first.poll() is None:
                first.send_signal(signal.SIGTERM)
                first.wait()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
