"""Starting a run's process, watching it, and finding it again after the daemon was restarted."""

import contextlib
import os
import pwd
import resource
import select
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import JobType, Spec
from cronkeeper.worker import session
from cronkeeper.worker.run_folder import ProcessId, RunFolder

WRAPPER = Path(__file__).with_name("wrapper.sh")
CHROOT = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin")
"""coreutils' changes the user, with / as the new root, and takes less CPU for it than setpriv."""
PATH = "/usr/local/bin:/usr/bin:/bin"
SHELL = "/bin/sh"
EXECUTABLE = (b"\x7fELF", b"#!")
"""What the kernel starts by itself; the libraries would hand anything else to a shell."""
NO_LEASE = "never"
"""In place of the lease's file: the start needs no lease."""
IGNORED = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP}
"""Signals that may stay so: Popen sees to the first two, which Python ignores, and jobs have no terminal."""


class CannotStart(CronkeeperError):
    """The run's process can't be started on this node; the text says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a run's process belongs to."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...]

    @classmethod
    def named(cls, name: str) -> "Account":
        """Raises: CannotStart, where the node knows no such user."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError as error:
            raise CannotStart(f"this node has no user {name!r}") from error
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, groups)


class Processes:
    """The processes of the runs in progress; readable, for a selector, when one of them has ended."""

    def __init__(self, lease_file: Path) -> None:
        self._lease_file = lease_file
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[str, subprocess.Popen[bytes] | None]] = {}
        self._soft_limit = _allow_many_files()
        self._wrapper = _own_wrapper(lease_file.parent)
        _inherit_nothing_odd()

    def fileno(self) -> int:
        """For a selector."""
        return self._epoll.fileno()

    def start(self, folder: RunFolder, account: Account, script: Path | None, *, alone: bool = False) -> None:
        """Start the wrapper, which starts the command if nobody has yet and the lease holds; `alone`: without one.

        `script` is the file to run; None: the plan has a command. Raises: CannotStart, with the reason.
        """
        user = _as_user(account)
        with contextlib.ExitStack() as stack:
            try:
                words, descriptors = _words(folder, script, stack, as_another=bool(user))
                stdin, stdout, stderr = _streams(folder, stack)
                wrapper = [
                    SHELL,
                    str(self._wrapper),
                    str(folder.path),
                    NO_LEASE if alone else str(self._lease_file),
                ]
                child = subprocess.Popen(
                    [*wrapper, str(self._soft_limit), account.home, *user, *words],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd="/",
                    env=_environment(folder, account),
                    start_new_session=True,
                    umask=0o022,
                    pass_fds=descriptors,
                )
            except OSError as error:
                raise CannotStart(f"the process could not be started: {error.strerror}") from error
        self._watch(os.pidfd_open(child.pid), folder, child)

    def adopt(self, folder: RunFolder, process: ProcessId) -> bool:
        """Watch a process that another daemon started; False where it has ended."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        if not session.alive(process):
            os.close(descriptor)
            return False
        self._watch(descriptor, folder)
        return True

    def ended(self) -> list[str]:
        """The runs whose watched process has ended since the last call."""
        runs = []
        for descriptor, _ in self._epoll.poll(0):
            self._epoll.unregister(descriptor)
            os.close(descriptor)
            run_id, child = self._watched.pop(descriptor)
            if child is not None:
                child.wait()
            runs.append(run_id)
        return runs

    def send(self, folder: RunFolder, leader: ProcessId, number: int, *, spare_leader: bool = False) -> None:
        """Signal all processes of a run, or all but the wrapper, which leads them."""
        session.send(leader, number, spare_leader=spare_leader)

    def count(self) -> int:
        """How many are in progress."""
        return len(self._watched)

    def _watch(
        self, descriptor: int, folder: RunFolder, child: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        self._watched[descriptor] = folder.plan.run_id, child
        self._epoll.register(descriptor, select.EPOLLIN)


def _as_user(account: Account) -> list[str]:
    own = os.geteuid()
    if account.uid == own:
        return []
    if own != 0:
        mine = pwd.getpwuid(own).pw_name
        raise CannotStart(f"this worker runs as {mine}, so it can't run a job as {account.name}")
    if CHROOT is None:
        raise CannotStart(f"this node has no chroot (of coreutils), which makes a job run as {account.name}")
    groups = ",".join(f"+{group}" for group in account.groups)
    identity = [f"--userspec=+{account.uid}:+{account.gid}", f"--groups={groups}"]
    return [CHROOT, "--skip-chdir", *identity, "/"]


def _streams(folder: RunFolder, stack: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO, BinaryIO]:
    """What the process reads, and where it writes to."""
    stdin = Path(os.devnull) if folder.plan.spec.stdin is None else folder.path / "stdin"
    return (
        stack.enter_context(stdin.open("rb")),
        stack.enter_context((folder.path / "stdout").open("ab")),
        stack.enter_context((folder.path / "stderr").open("ab")),
    )


def _words(
    folder: RunFolder, script: Path | None, stack: contextlib.ExitStack, *, as_another: bool
) -> tuple[list[str], tuple[int, ...]]:
    """The command's words with what comes before them, and the descriptors they need.

    Only the job's user sets the job's variables: what root starts before must not heed them (LD_PRELOAD), and in
    words all users of the machine could read them. Of a broken binary a shell says what is wrong, where chroot(1)
    would have a shell read it.
    """
    spec = folder.plan.spec
    argv, file = _argv(spec, script, stack, by_descriptor=as_another)
    if spec.env:
        descriptor = _opened(folder.path / "env", stack)
        before = [SHELL, "-c", '. "$0"; exec "$@"', f"/proc/self/fd/{descriptor}"]
        return [*before, *argv], (descriptor, *file)
    if spec.type is JobType.BINARY:
        return [SHELL, "-c", 'exec "$@"', SHELL, *argv], file
    return argv, file


def _argv(
    spec: Spec, script: Path | None, stack: contextlib.ExitStack, *, by_descriptor: bool
) -> tuple[list[str], tuple[int, ...]]:
    """The command's own words, and the descriptors they need.

    Another user may have no way into the folder of a script, so that user gets the open file.
    """
    if script is None:
        assert spec.command is not None
        return [SHELL if spec.shell is None else spec.shell, "-c", spec.command], ()
    if spec.type is JobType.BINARY:
        _refuse_what_needs_a_shell(script)
    reader = [] if spec.shell is None or spec.type is JobType.BINARY else [spec.shell]
    if not by_descriptor:
        return [*reader, str(script), *spec.args], ()
    descriptor = _opened(script, stack)
    return [*reader, f"/proc/self/fd/{descriptor}", *spec.args], (descriptor,)


def _refuse_what_needs_a_shell(binary: Path) -> None:
    with binary.open("rb") as file:
        if not file.read(4).startswith(EXECUTABLE):
            raise CannotStart("the binary is no program: it begins neither as ELF nor with #!")


def _opened(path: Path, stack: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _environment(folder: RunFolder, account: Account) -> dict[str, str]:
    """cron's own few variables (crontab(5)), and ours."""
    plan = folder.plan
    shell = plan.spec.shell if plan.spec.type is JobType.COMMAND else None
    return {
        "HOME": account.home,
        "LOGNAME": account.name,
        "USER": account.name,
        "SHELL": SHELL if shell is None else shell,
        "PATH": PATH,
        "CRONKEEPER_JOB_ID": str(plan.spec.job_id),
        "CRONKEEPER_RUN_ID": plan.run_id,
        "CRONKEEPER_TICK": plan.tick.isoformat().replace("+00:00", "Z") if plan.tick is not None else "",
        "CRONKEEPER_ATTEMPT": str(plan.attempt),
        "CRONKEEPER_FENCING_TOKEN": plan.token,
    }


def _allow_many_files() -> int:
    """A descriptor is held for each run, so take all we may have; the limit of before is the jobs'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def _own_wrapper(home: Path) -> Path:
    """A copy of this version's wrapper: while a newer one is installed below us there is none, and then another."""
    own, new = home / WRAPPER.name, home / f".{WRAPPER.name}.new"
    try:
        new.write_bytes(WRAPPER.read_bytes())
        new.replace(own)
    except OSError:  # a full disk
        return WRAPPER
    return own


def _inherit_nothing_odd() -> None:
    """Rid this process of what it was started with and jobs would inherit, and would not have under cron.

    A shell can't trap what it was started to ignore: nohup(1) leaves SIGHUP so, and a shell SIGINT for what it
    starts in the background. What has a handler here is as usual in what we start. systemd gives root no groups.
    """
    for number in signal.valid_signals() - IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _signal, _frame: None)
    # SIGHUP stays as it is: who handles it lets it in.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals() - {signal.SIGHUP})
    if os.geteuid() == 0:
        own = pwd.getpwuid(0)
        with contextlib.suppress(PermissionError):  # in a container whose users are mapped
            os.initgroups(own.pw_name, own.pw_gid)
