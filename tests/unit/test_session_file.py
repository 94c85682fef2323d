"""What a worker comes back to: its session, which no copy may come to, and its home, which one alone may use."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cronkeeper.cli.session_file import SessionFile, lock
from cronkeeper.common.clock import boottime
from cronkeeper.common.coordination.embedded import EmbeddedServer
from cronkeeper.common.errors import Conflict
from cronkeeper.worker.machine import boot_of


def keep(home: Path) -> tuple[int, bytes]:
    """Write the session of a worker of this home."""
    tree = EmbeddedServer(None).connect()
    SessionFile(home / "session", boot_of(home)).keep(tree)
    return tree.session().id, tree.session().password


def test_the_next_daemon_finds_the_session_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    session = keep(tmp_path)
    assert SessionFile(tmp_path / "session", boot_of(tmp_path)).read() == session
    assert stat.S_IMODE((tmp_path / "session").stat().st_mode) == 0o600


def test_after_a_reboot_there_is_no_session_to_come_back_to(tmp_path: Path) -> None:
    keep(tmp_path)
    assert SessionFile(tmp_path / "session", "another boot").read() is None


def test_a_copy_of_the_home_has_no_session(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    home.mkdir()
    session = keep(home)
    shutil.copytree(home, copy)
    assert boot_of(copy) != boot_of(home)
    assert SessionFile(copy / "session", boot_of(copy)).read() is None
    assert SessionFile(home / "session", boot_of(home)).read() == session


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 5}', '{"id": 5, "password": "AAAA", "boot": null}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "session").write_text(text)
    assert SessionFile(tmp_path / "session", boot_of(tmp_path)).read() is None


def test_the_session_of_an_older_version_is_good_if_it_was_written_in_this_boot(tmp_path: Path) -> None:
    """Else each upgraded node would be taken for dead, for the leader sees its old session end."""
    file = tmp_path / "session"
    file.write_text('{"id": 5, "password": "AAAA"}')
    assert SessionFile(file, boot_of(tmp_path)).read() == (5, b"\0\0\0")
    before = time.time() - boottime() - 60
    os.utime(file, (before, before))
    assert SessionFile(file, boot_of(tmp_path)).read() is None, "the machine was rebooted, or copied, since"


def test_a_home_has_one_worker_until_its_process_ends(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from cronkeeper.cli.session_file import lock; "
    code += "lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(Conflict, match=f"another worker on this machine uses {tmp_path}"):
        lock(tmp_path, patience=0.1)
    other.kill()
    lock(tmp_path)
    other.communicate()
