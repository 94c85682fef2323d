"""Real processes for tests: run folders, a lease, and an end to all of it."""

import math
import os
import pwd
import select
import signal
from pathlib import Path

from cronkeeper.common.clock import uptime
from cronkeeper.worker import lease_file, outputs
from cronkeeper.worker.process import Account, Processes
from cronkeeper.worker.run_folder import RunFolder

from .samples import plan, spec
from .wait import wait_until

ME = Account.named(pwd.getpwuid(os.geteuid()).pw_name)


class Host:
    """Folders, and processes that are killed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = self.runs = path
        self.lease = path / "lease"
        self.renew(math.inf)
        self.processes = Processes(self.lease)
        self.folders: list[RunFolder] = []

    def renew(self, left: float, stop: float = math.inf) -> None:
        """Let the lease last for so many seconds more, and what must be stopped have ended in so many."""
        now = uptime()
        lease_file.write(self.lease, lease_file.Deadlines(now + left, now + stop))

    def folder(
        self, command: str | None, *, policies: dict[str, object] | None = None, **changes: object
    ) -> RunFolder:
        """A run's folder; `policies` are of its job, the other changes of its plan."""
        run_id = f"1.1.hand-{len(self.folders)}.1"
        of_job = spec(command=command, **({} if policies is None else policies))
        made = RunFolder.make(self.runs, plan(run_id, spec=of_job, **changes))
        self.folders.append(made)
        return made

    def start(self, command: str, **changes: object) -> RunFolder:
        folder = self.folder(command, **changes)
        self.processes.start(folder, ME, None)
        return folder

    def await_end(self, *folders: RunFolder, processes: Processes | None = None) -> None:
        """Wait until all of them, and no others, are said to have ended."""
        watched = self.processes if processes is None else processes
        expected, ended = sorted(folder.plan.run_id for folder in folders), []

        def all_ended() -> bool:
            select.select([watched], [], [], 0.1)
            ended.extend(watched.ended())
            return len(ended) >= len(expected)

        wait_until(all_ended, 10, every=0)
        assert sorted(ended) == expected

    def run(self, command: str) -> RunFolder:
        """Start it and wait for its end."""
        folder = self.start(command)
        self.await_end(folder)
        return folder

    def kill_all(self) -> None:
        for folder in self.folders:
            if folder.started is not None:
                _kill_group(folder.started.process.pid)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def out(folder: RunFolder, stream: str = "stdout") -> str:
    return outputs.read(folder, stream).data.decode()


def fifo(folder: Path) -> Path:
    path = folder / "fifo"
    os.mkfifo(path)
    return path
