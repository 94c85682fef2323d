"""Hosts made of namespaces: each with its own processes, crontabs, crond, syslog, users, /run and network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .clock import Clock
from .host_init import USER_HOME
from .network import Network, await_ready, end
from .processes import in_space_of, number_inside
from .server import dying_with_us, program

__all__ = ["USER", "USER_HOME", "Host", "Network"]

INIT = Path(__file__).with_name("host_init.py")
USER = "ckuser"
"""An unprivileged user that only hosts know; its home is `USER_HOME` there."""
USER_ID = 61000
# What the user must reach to run cronkeeper, also where root keeps it for itself: Python and the checkout.
VISIBLE = (Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[3])
# What a host's user adds to the machine's. The password is locked, which cron's PAM accepts; an account that has
# expired it would not.
ACCOUNTS = {
    "passwd": f"{USER}:x:{USER_ID}:{USER_ID}:cronkeeper test-bed:{USER_HOME}:/bin/sh\n",
    "group": f"{USER}:x:{USER_ID}:\n",
    "shadow": f"{USER}:!:19000:0:99999:7:::\n",
}
ACCOUNT_MODES = {"passwd": 0o644, "group": 0o644, "shadow": 0o640}
TIMEOUT = 10.0


class Host:
    """A host that boots with `start`; `home` is its disk: it outlives `kill`, and `stop` removes it.

    Without a network it shares the machine's, loopback and all. It lives no longer than the thread that
    started it. What root starts on it goes by the `clock` where there is one: crond, the worker.
    """

    def __init__(
        self, network: Network | None, name: str, ip: str, home: Path, clock: Clock | None = None
    ) -> None:
        self.network = network
        self.clock = clock
        self.name = name
        self.ip = ip
        self.home = home
        self._outer: subprocess.Popen[bytes] | None = None
        self._commands: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        """The host's first process, as the machine numbers it."""
        if self._outer is None:
            raise RuntimeError(f"host {self.name} is not running")
        return child_of(self._outer.pid)

    def pids(self) -> list[int]:
        """Every process on the host, as the machine numbers it, and what holds them there; none where it is down.

        nsenter stops itself when what it has started is stopped, and must be told to go on.
        """
        if self._outer is None or self._outer.poll() is not None:
            return []
        return [*in_space_of(self.pid), *(each.pid for each in self._commands if each.poll() is None)]

    def cron_pids(self) -> list[int]:
        """The host's crond, as the machine numbers it; none where it is down."""
        cron = None if self._outer is None else self._cron_pid()
        return [] if cron is None else [pid for pid in in_space_of(self.pid) if number_inside(pid) == cron]

    @property
    def cron_d(self) -> Path:
        """The host's /etc/cron.d, as seen from outside."""
        return self.home / "cron.d"

    @property
    def user_home(self) -> Path:
        """The home of `USER`, as seen from outside."""
        return self.home / "user"

    def crontab(self, user: str) -> Path:
        """A user's crontab, as seen from outside."""
        return self.home / "spool" / "crontabs" / user

    def start(self) -> None:
        """Boot; returns when cron runs."""
        _make_disk(self.home)
        with (self.home / "boot.log").open("ab") as log:
            outer = subprocess.Popen(
                self._boot(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        await_ready(outer, f"host {self.name} (see {self.home / 'boot.log'})")
        self._outer = outer
        if self.network is not None:
            self.network.attach(self, self.pid)
        self.start_cron()

    def kill(self) -> None:
        """Cut its power: every process is gone at once, and nobody hears a farewell from it."""
        if self._outer is None:
            return
        if self.network is not None:
            self.network.detach(self)
        os.kill(self.pid, signal.SIGKILL)
        for command in self._commands:
            _await(partial(_buried, command), f"process {command.pid} to end with host {self.name}")
        self._outer.wait()
        end(self._outer)
        self._commands.clear()
        self._outer = None

    def stop(self) -> None:
        """Give the host up for good: its processes, its files."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def is_cut(self) -> bool:
        """Whether its network cable is pulled."""
        return self.network is not None and self.network.is_cut(self)

    def cut(self) -> None:
        """Pull its network cable."""
        self._cabled().cut(self)

    def heal(self) -> None:
        """Plug it in again."""
        self._cabled().heal(self)

    def command(
        self,
        argv: Sequence[str | Path],
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
    ) -> list[str]:
        """What to run on the machine so that `argv` runs on the host.

        It has a clean environment and `env`, and starts in `cwd`. It is a child of this command (see
        `child_of`), and is killed when this ends.
        """
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        enter = [program("nsenter"), "--target", str(self.pid), *spaces, "--"]
        login = [program("chroot"), f"--userspec={user}", "/", *dying_with_us("--reset-env")]
        clock = self.clock.environment if self.clock is not None and user == "root" else {}
        variables = [f"{name}={value}" for name, value in {**clock, **(env or {})}.items()]
        return [*dying_with_us(), *enter, *login, "env", f"--chdir={cwd}", *variables, *map(str, argv)]

    def exec(
        self,
        argv: Sequence[str | Path],
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        **popen: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a command on the host; `popen` are more arguments of Popen. See `command`.

        It ends with the host at the latest.
        """
        process = subprocess.Popen(self.command(argv, user, env, cwd), **popen)
        self._commands.append(process)
        return process

    def run(
        self, argv: Sequence[str | Path], user: str = "root", *, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host to its end, with `text` as its input, and return what it said."""
        return subprocess.run(
            self.command(argv, user), check=check, capture_output=True, encoding="utf-8", input=text or ""
        )

    def start_cron(self) -> None:
        """Start the host's crond, which logs every start and end of a job to `syslog` below the home."""
        # What a crond that was killed has forked holds the lock on its pid file until it ends.
        start = [program("cron"), "-L", "15"]
        _await(lambda: self.run(start, check=False).returncode == 0, f"cron on {self.name} to take its lock")
        _await(lambda: self._cron_pid() is not None, f"cron on {self.name} to start")

    def stop_cron(self) -> None:
        """End the host's crond in good order."""
        self._end_cron("-TERM")

    def kill_cron(self) -> None:
        """kill -9 the host's crond."""
        self._end_cron("-KILL")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _boot(self) -> list[str]:
        spaces = ["--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--mount-proc"]
        network = [] if self.network is None else ["--net"]
        init = [sys.executable, "-I", "-S", str(INIT), self.name, str(self.home), *map(str, VISIBLE)]
        return [
            *dying_with_us(),
            program("unshare"),
            *spaces,
            *network,
            "--fork",
            "--kill-child=KILL",
            "--",
            *init,
        ]

    def _cabled(self) -> Network:
        if self.network is None:
            raise RuntimeError(f"host {self.name} is on the machine's own network, which is not ours to cut")
        return self.network

    def _cron_pid(self) -> int | None:
        """The pid of the running crond, as the host numbers it."""
        root = Path(f"/proc/{self.pid}/root")
        try:
            pid = int((root / "run/crond.pid").read_text())
            name = (root / f"proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if name == "cron" else None

    def _end_cron(self, how: str) -> None:
        pid = self._cron_pid()
        if pid is not None:
            self.run(["/bin/kill", how, str(pid)])
            _await(lambda: self._cron_pid() is None, f"cron on {self.name} to end")


def child_of(pid: int) -> int:
    """The only child of a process: of a command that was started on a host, the command itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    _await(lambda: len(children.read_text().split()) == 1, f"process {pid} to have one child")
    return int(children.read_text())


def _buried(command: subprocess.Popen[bytes]) -> bool:
    """Whether what held a command on a host that is gone has ended.

    One that is stopped buries nobody, and so the host would not end. And nsenter stops itself anew where it hears
    only now that its child had been stopped: it must be told until it has gone.
    """
    command.send_signal(signal.SIGCONT)
    return command.poll() is not None


def _make_disk(home: Path) -> None:
    """What the host sees instead of the machine's own; what is there already, from before a reboot, stays."""
    if (home / "etc").exists():
        return
    for name, mode in {
        "cron.d": 0o755,
        "dev": 0o755,
        "spool": 0o755,
        "spool/crontabs": 0o1730,
        "user": 0o700,
    }.items():
        (home / name).mkdir(parents=True)
        (home / name).chmod(mode)
    shutil.chown(home / "spool/crontabs", "root", "crontab")
    os.chown(home / "user", USER_ID, USER_ID)
    (home / "etc").mkdir()
    (home / "etc/crontab").touch(mode=0o644)
    # Debian's cron takes no notice of a table that changes in the very second of what it has read.
    for name in ("cron.d", "spool/crontabs", "etc/crontab"):
        os.utime(home / name, (0, 0))
    for name, line in ACCOUNTS.items():
        file = home / "etc" / name
        file.write_text((Path("/etc") / name).read_text() + line)
        file.chmod(ACCOUNT_MODES[name])
    shutil.chown(home / "etc/shadow", "root", "shadow")


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {TIMEOUT} s for {what}")
        time.sleep(0.01)
