"""Starting a run's process, watching it, and finding it again after the daemon was restarted."""

import contextlib
import os
import pwd
import resource
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.worker.run_folder import ProcessId, RunFolder, parse_stat

WRAPPER = Path(__file__).with_name("wrapper.sh")
CHROOT = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin")
"""coreutils' changes the user, with / as the new root, at half the CPU of setpriv or runuser (`bench burst`)."""
PATH = "/usr/local/bin:/usr/bin:/bin"


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

    def fileno(self) -> int:
        """For a selector."""
        return self._epoll.fileno()

    def start(self, folder: RunFolder, account: Account, script: Path | None) -> None:
        """Start the wrapper, which starts the command if nobody has yet and the lease still holds.

        Args:
            script: the file to run; None where the plan has a command for the shell.

        Raises:
            CannotStart: no process could be made, or this daemon may not act for that user.
        """
        prefix = _as_user(account)
        with contextlib.ExitStack() as stack:
            try:
                argv, keep = _argv(folder, script, stack, by_descriptor=bool(prefix))
                out = stack.enter_context((folder.path / "stdout").open("ab"))
                err = stack.enter_context((folder.path / "stderr").open("ab"))
                wrapper = ["/bin/sh", str(WRAPPER), str(folder.path), str(self._lease_file)]
                child = subprocess.Popen(
                    [*wrapper, str(self._soft_limit), account.home, *prefix, *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd="/",
                    env=_environment(folder, account),
                    start_new_session=True,
                    umask=0o022,
                    pass_fds=keep,
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
        if not _alive(process):
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

    def count(self) -> int:
        """How many are in progress."""
        return len(self._watched)

    def _watch(
        self, descriptor: int, folder: RunFolder, child: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        self._watched[descriptor] = folder.plan.run_id, child
        self._epoll.register(descriptor, select.EPOLLIN)


def _alive(process: ProcessId) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return parse_stat(stat) == process and stat.rpartition(")")[2].split()[0] != "Z"


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


def _argv(
    folder: RunFolder, script: Path | None, stack: contextlib.ExitStack, *, by_descriptor: bool
) -> tuple[list[str], tuple[int, ...]]:
    """The command's words, and the descriptors it needs.

    Another user may have no way into the folder of a script, so that user gets the open file.
    """
    if script is None:
        assert folder.plan.spec.command is not None
        return ["/bin/sh", "-c", folder.plan.spec.command], ()
    if not by_descriptor:
        return [str(script)], ()
    descriptor = os.open(script, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return [f"/proc/self/fd/{descriptor}"], (descriptor,)


def _environment(folder: RunFolder, account: Account) -> dict[str, str]:
    """cron's own few variables (crontab(5)), and ours."""
    plan = folder.plan
    return {
        "HOME": account.home,
        "LOGNAME": account.name,
        "USER": account.name,
        "SHELL": "/bin/sh",
        "PATH": PATH,
        "CRONKEEPER_JOB_ID": str(plan.spec.job_id),
        "CRONKEEPER_RUN_ID": plan.run_id,
        "CRONKEEPER_TICK": plan.tick.isoformat().replace("+00:00", "Z") if plan.tick is not None else "",
        "CRONKEEPER_ATTEMPT": str(plan.attempt),
        "CRONKEEPER_TOKEN": plan.token,
    }


def _allow_many_files() -> int:
    """A descriptor is held for each run, so take all we may have; the limit of before is the jobs'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
