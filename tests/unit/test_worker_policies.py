"""What a job says about how it is run: shell, arguments, variables, input; as the worker's user and as another."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.host import ME, Host, out

from cronkeeper.common.model import JobType
from cronkeeper.worker.process import Account, CannotStart
from cronkeeper.worker.run_folder import RunFolder

USERS = [ME.name, *(["nobody"] if os.geteuid() == 0 else [])]
"""As root every policy must hold for another user too, who has no way into the folders."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.kill_all()


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> Account:
    return Account.named(request.param)


def run(host: Host, user: Account, script: Path | None = None, **policies: object) -> RunFolder:
    """Start a job with these policies and wait for its end."""
    folder = host.folder(str(policies.pop("command", "unused")), policies=policies)
    host.processes.start(folder, user, script)
    host.await_end(folder)
    return folder


def code(folder: RunFolder) -> int:
    assert folder.exit is not None
    return folder.exit.code


def file(host: Host, content: str | bytes) -> Path:
    """An artifact as the cache keeps it: executable by all, in a folder that others can't enter."""
    path = host.path / "artifact"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o755)
    return path


def test_a_command_is_read_by_the_shell_that_the_job_names(host: Host, user: Account) -> None:
    folder = run(host, user, command='echo "$BASH_VERSION" "$SHELL"', shell="/bin/bash")
    version, shell = out(folder).split()
    assert (version[0].isdigit(), shell) == (True, "/bin/bash")


def test_a_script_is_given_its_arguments_as_they_are(host: Host, user: Account) -> None:
    script = file(host, '#!/bin/sh\nprintf "[%s]" "$@"\n')
    folder = run(host, user, script, type=JobType.SCRIPT, args=("a b", "", "$HOME", "'"))
    assert out(folder) == "[a b][][$HOME][']"


def test_a_script_is_read_by_the_shell_that_the_job_names_whatever_its_first_line(
    host: Host, user: Account
) -> None:
    script = file(host, '#!/no/such/shell\necho "${BASH_VERSION%%.*}" "$1" "$SHELL"\n')
    folder = run(host, user, script, type=JobType.SCRIPT, shell="/bin/bash", args=("x y",))
    version, argument = out(folder).split(" ", 1)
    assert (version.isdigit(), argument) == (True, "x y /bin/sh\n")


@pytest.mark.parametrize("type", [JobType.COMMAND, JobType.SCRIPT])
def test_a_shell_that_the_node_does_not_have_is_told_by_the_usual_code(
    host: Host, user: Account, type: JobType
) -> None:
    script = file(host, "echo started") if type is JobType.SCRIPT else None
    folder = run(host, user, script, type=type, shell="/no/such/shell")
    assert (code(folder), out(folder)) == (127, "")
    assert "/no/such/shell" in out(folder, "stderr")


@pytest.mark.parametrize("env", [{}, {"NAME": "value"}])
def test_a_binary_is_run_with_its_arguments(host: Host, user: Account, env: dict[str, str]) -> None:
    binary = file(host, Path(shutil.which("printenv") or "").read_bytes())
    folder = run(host, user, binary, type=JobType.BINARY, args=("HOME", "USER"), env=env)
    assert (out(folder), code(folder)) == (f"{user.home}\n{user.name}\n", 0)


def test_a_binary_for_another_machine_is_no_script_for_a_shell(host: Host, user: Account) -> None:
    foreign = bytearray(Path(shutil.which("true") or "").read_bytes())
    foreign[18:20] = b"\xff\xfe"
    folder = run(host, user, file(host, bytes(foreign)), type=JobType.BINARY)
    assert code(folder) == 126
    assert "xec format error" in out(folder, "stderr")


def test_a_binary_that_only_a_shell_could_read_is_refused(host: Host, user: Account) -> None:
    folder = host.folder(None, policies={"type": JobType.BINARY})
    with pytest.raises(CannotStart, match="neither as ELF nor with #!"):
        host.processes.start(folder, user, file(host, "echo started"))
    assert host.processes.count() == 0


def test_the_jobs_variables_come_on_top_of_crons_and_never_in_place_of_ours(
    host: Host, user: Account
) -> None:
    hard = {"QUOTED": """a 'b' "c" $HOME `id` \\ %""", "LINES": "one\ntwo", "EMPTY": "", "UMLAUT": "ä"}
    changed = {"PATH": "/opt/bin:/usr/bin:/bin", "HOME": "/elsewhere", "SHELL": "/bin/false"}
    folder = run(
        host,
        user,
        command="env -0; pwd",
        env={**hard, **changed, "CRONKEEPER_RUN_ID": "x", "CRONKEEPER_X": "y"},
    )
    *pairs, directory = out(folder).split("\0")
    got = dict(pair.split("=", 1) for pair in pairs)
    assert got.items() >= {**hard, **changed, "USER": user.name, "CRONKEEPER_JOB_ID": "1"}.items()
    assert (got["CRONKEEPER_RUN_ID"], "CRONKEEPER_X" in got) == (folder.plan.run_id, False)
    assert directory.strip() in (user.home, "/")


def test_no_value_of_a_variable_can_be_read_in_the_processes_words(host: Host, user: Account) -> None:
    command = "tr '\\0' ' ' < /proc/$PPID/cmdline; tr '\\0' ' ' < /proc/$$/cmdline"
    folder = run(host, user, command=command, env={"PASSWORD": "se" + "cret"})
    assert "cmdline" in out(folder)
    assert "secret" not in out(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of others")
def test_a_variable_of_another_users_job_has_no_effect_on_what_root_starts(host: Host) -> None:
    """The loader complains of a library that is not there, once in each program that heeds the variable."""
    folder = run(host, Account.named("nobody"), command=": no program", env={"LD_PRELOAD": "/no/such.so"})
    assert (code(folder), out(folder, "stderr").count("/no/such.so")) == (0, 1)


def test_a_name_that_no_shell_can_set_ends_the_run_with_the_shells_word(host: Host, user: Account) -> None:
    folder = run(host, user, command="echo started", env={"a b": "c"})
    assert (code(folder) != 0, out(folder)) == (True, "")
    assert "a b" in out(folder, "stderr")


@pytest.mark.parametrize("text", ["", "one\ntwo\nä", "x" * 200_000])
def test_the_process_reads_the_jobs_input(host: Host, user: Account, text: str) -> None:
    folder = run(host, user, command="cat | wc -c; cat /dev/stdin | cksum; cat", stdin=text)
    assert int(out(folder).split()[0]) == len(text.encode())
    assert code(folder) == 0
    assert out(folder, "stderr") == ""


def test_a_script_reads_the_jobs_input_too(host: Host, user: Account) -> None:
    folder = run(host, user, file(host, "#!/bin/cat\n"), type=JobType.SCRIPT, stdin="unread", args=("-",))
    assert out(folder) == "#!/bin/cat\nunread"


def test_everything_at_once(host: Host, user: Account) -> None:
    script = file(host, 'echo "$1 $NAME $(cat) $(id -un)"\n')
    folder = run(
        host,
        user,
        script,
        type=JobType.SCRIPT,
        shell="/bin/bash",
        args=("one",),
        env={"NAME": "two"},
        stdin="three",
    )
    assert out(folder) == f"one two three {user.name}\n"


def test_input_and_variables_are_in_the_folder_before_the_run_is_claimed(host: Host) -> None:
    folder = host.folder("unused", policies={"stdin": "text", "env": {"A": "b c"}, "timeout": 5.0})
    assert (folder.path / "stdin").read_text() == "text"
    assert (folder.path / "env").read_text() == "export 'A=b c'\n"
    assert folder.stopped is None
    folder.remove()
    assert not folder.path.exists()


def test_a_job_without_policies_has_no_files_for_them(host: Host) -> None:
    assert sorted(path.name for path in host.folder("true").path.iterdir()) == ["exit", "plan"]
