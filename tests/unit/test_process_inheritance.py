"""What a run's process inherits of a daemon that was started in an odd way: nothing that would break it."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.host import Host

from cronkeeper.worker.process import WRAPPER

TESTS = Path(__file__).parents[1]
ODDLY = """
import os, resource, signal, sys
for name in ("HUP", "INT", "QUIT", "PIPE", "USR1", "XFSZ"):
    signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGTERM, signal.SIGUSR2, signal.SIGCHLD])
os.umask(0o057)
resource.setrlimit(resource.RLIMIT_NOFILE, (333, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.dup2(2, 77)
if os.geteuid() == 0:
    os.setgroups([4711])
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-500")
    except PermissionError:
        print("no CAP_SYS_RESOURCE", file=sys.stderr)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Starts a program as odd parents may."""
DAEMON = """
import os, signal, sys
from pathlib import Path
from support.host import Host, out
host = Host(Path(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # as whoever handles it does
folder = host.run(sys.argv[2])
print(Path("/proc/self/oom_score_adj").read_text().strip())
print(out(folder, "stderr"), end="")
print(out(folder), end="")
"""
FACTS = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "umask": status["Umask"].strip(),
    "score": int(open("/proc/self/oom_score_adj").read()),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "groups": sorted(os.getgroups()),
    "environment": sorted(os.environ),
    "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd")),
}))
"""


THE_C_LIBRARYS = 1 << 31 | 1 << 32
"""Its own signals, 32 and 33: it lets nobody change what is done about them, so they are as we were started."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.kill_all()


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    """What a job of a daemon says that was started oddly."""
    # Not through Python itself: it has ways of its own with SIGPIPE. dash shows what it got.
    script = tmp_path / "facts.py"
    script.write_text(FACTS)
    command = f"grep -E '^Sig(Ign|Blk)' /proc/self/status >&2; exec {sys.executable} -I -S {script}"
    done = subprocess.run(
        [sys.executable, "-c", ODDLY, "-c", DAEMON, str(tmp_path), command],
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "LD_PRELOAD": "",
            "IFS": "x",
            "ODD": "1",
            "BASH_ENV": "/odd",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    own, *signals, rest = done.stdout.splitlines()
    said: dict[str, Any] = json.loads(rest)
    said |= {line.split(":")[0]: int(line.split(":")[1], 16) for line in signals}
    return {**said, "spared": int(own) < 0}


def test_what_the_daemon_was_started_with_does_not_reach_its_jobs(facts: dict[str, Any]) -> None:
    assert (facts["SigIgn"] & ~THE_C_LIBRARYS, facts["SigBlk"]) == (0, 0)
    assert facts["umask"] == "0022"
    assert facts["files"] == [333, resource.getrlimit(resource.RLIMIT_NOFILE)[1]]
    assert facts["descriptors"] == [0, 1, 2, 3], "the last is of the look itself"
    names = {"HOME", "LOGNAME", "USER", "SHELL", "PATH", "PWD", "LC_CTYPE"}
    assert {each for each in facts["environment"] if not each.startswith("CRONKEEPER_")} <= names


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose its groups")
def test_root_has_the_groups_of_root(facts: dict[str, Any]) -> None:
    assert facts["groups"] == sorted(os.getgrouplist("root", 0))


def test_jobs_are_not_spared_when_memory_is_short(facts: dict[str, Any]) -> None:
    assert facts["score"] >= 0
    if not facts["spared"]:
        pytest.skip("only with CAP_SYS_RESOURCE a daemon can be spared")


def test_the_wrapper_starts_what_a_daemon_of_an_older_version_asks_it_to(host: Host) -> None:
    """A daemon finds the wrapper of the new version from the moment that this is installed."""
    folder = host.folder("unused")
    words = [
        str(folder.path),
        str(host.lease),
        "64",
        "/usr",
        "sh",
        "-c",
        'pwd; echo "$0" "$1"',
        "two",
        "words",
    ]
    said = subprocess.run(["sh", str(WRAPPER), *words], capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("/usr\ntwo words\n", "")
    assert folder.exit is not None
    assert folder.exit.code == 0
