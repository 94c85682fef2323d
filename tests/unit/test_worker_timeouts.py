"""A run that lasts too long, for real: it is told to end, then killed, whatever daemon is there to do it."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fakes import FakeFiles
from support.host import ME, Host, out
from support.samples import plan, spec
from support.wait import wait_until

from cronkeeper.common.clock import utc_now
from cronkeeper.common.model import Concurrency, Outcome, RunState
from cronkeeper.worker import session
from cronkeeper.worker.journal import Journal
from cronkeeper.worker.process import Account, Processes
from cronkeeper.worker.run_folder import ProcessId, RunFolder
from cronkeeper.worker.trim import LOOK_EVERY

RUN = plan().run_id
BRIEF, LONG = 0.1, 60.0


class Node:
    """A worker's journal over real processes; `restart` puts the next daemon's in its place."""

    def __init__(self, host: Host, user: Account) -> None:
        self.host = host
        self.user = user
        self.daemons: list[Processes] = []
        self.restart()

    def restart(self) -> None:
        self.daemons.append(Processes(self.host.lease))
        self.journal = Journal(
            self.host.path / "runs",
            self.daemons[-1],
            FakeFiles(),
            lambda _: self.user,
            "boot-1",
        )
        self.journal.load(utc_now())

    def start(self, command: str, **policies: object) -> RunFolder:
        """Start a run and wait until its command has said that it is ready."""
        policies = {"timeout": BRIEF, "grace": LONG, **policies}
        self.journal.make(plan(RUN, spec=spec(command=command, **policies), claimed_at=utc_now()))
        folder = self.journal.entries[RUN].folder
        self.host.folders.append(folder)
        self.journal.clear(RUN)
        self.journal.start_cleared(utc_now())
        wait_until(lambda: "ready" in out(folder))
        return folder

    def poll(self) -> Outcome | None:
        """What the worker does in each of its rounds."""
        self.journal.poll(utc_now())
        entry = self.journal.entries[RUN]
        return entry.outcome

    def end(self) -> Outcome:
        return wait_until(self.poll)

    def clean_up(self) -> None:
        for folder in self.host.folders:
            if folder.started is not None:
                session.send(folder.started.process, signal.SIGKILL)
        for processes in self.daemons:
            wait_until(lambda each=processes: (each.ended(), each.count() == 0)[1])


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(Host(tmp_path), ME)
    yield node
    node.clean_up()


def lines(folder: RunFolder) -> list[str]:
    return out(folder).splitlines()


def gone(pid: str) -> bool:
    """Whether no such process runs."""
    return not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_run_that_lasts_too_long_is_told_to_end_and_keeps_its_exit_code(node: Node) -> None:
    folder = node.start("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    outcome = node.end()
    assert (outcome.state, outcome.exit_code) == (RunState.TIMED_OUT, 3)
    assert outcome.reason == "ended after its timeout of 0.1 s"
    assert lines(folder) == ["ready", "bye"]
    assert outcome.started_at is not None
    assert (outcome.ended_at - outcome.started_at).total_seconds() >= BRIEF - 0.02
    assert node.journal.wait() == float("inf")


def test_a_run_that_ends_in_time_is_left_alone(node: Node) -> None:
    folder = node.start("echo ready", timeout=LONG)
    assert 0 < node.journal.wait() <= LONG
    assert node.end().state is RunState.SUCCEEDED
    assert (folder.stopped, node.journal.wait()) == (None, float("inf"))


def test_a_run_without_a_timeout_has_none(node: Node) -> None:
    node.start("echo ready", timeout=None)
    assert 0 < node.journal.wait() <= LOOK_EVERY
    assert node.end().state is RunState.SUCCEEDED


def test_what_does_not_end_in_its_grace_is_killed_and_still_has_its_code(node: Node) -> None:
    node.start("trap '' TERM; echo ready; while :; do sleep 0.05; done", grace=0.2)
    outcome = node.end()
    assert (outcome.state, outcome.exit_code) == (RunState.TIMED_OUT, 137)
    assert outcome.reason == "ended after its timeout of 0.1 s; killed 0.2 s later"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of others")
def test_a_run_of_another_user_is_told_to_end_and_killed(node: Node) -> None:
    node.user = Account.named("nobody")
    folder = node.start(
        "trap 'echo told' TERM; id -un; read x; echo $x $A ready; while :; do sleep 0.05; done",
        grace=0.2,
        env={"A": "b"},
        stdin="text\n",
    )
    outcome = node.end()
    assert (outcome.state, outcome.exit_code) == (RunState.TIMED_OUT, 137)
    assert lines(folder) == ["nobody", "text b ready", "told"]


@pytest.mark.parametrize("group", ["", "timeout 50 "])
def test_a_child_that_outlives_the_shell_has_its_grace_and_no_more(node: Node, group: str) -> None:
    """The shell dies of SIGTERM at once. timeout(1) leads a group of its own."""
    stubborn = "trap '' TERM; echo \\$\\$ ready; while :; do sleep 0.05; done"
    folder = node.start(f'{group}sh -c "{stubborn}"; true', grace=0.2)
    child = lines(folder)[0].split()[0]
    stopped = wait_until(lambda: (node.poll(), folder.stopped)[1])
    assert stopped.killed is None
    assert not gone(child)
    outcome = node.end()
    assert outcome.state is RunState.TIMED_OUT
    assert str(outcome.reason).endswith("; killed 0.2 s later")
    assert gone(child)


def test_a_child_that_ends_in_its_grace_is_waited_for(node: Node) -> None:
    gentle = "trap 'sleep 0.1; echo tidied up; exit' TERM; echo ready; while :; do sleep 0.05; done"
    folder = node.start(f'sh -c "{gentle}"; true')
    outcome = node.end()
    assert outcome.reason == "ended after its timeout of 0.1 s"
    assert lines(folder) == ["ready", "tidied up"]


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid of util-linux")
def test_what_has_left_the_session_is_not_followed_and_holds_up_no_end(node: Node) -> None:
    """The wrapper's own child is another session's: in the end the wrapper is killed without an exit code."""
    folder = node.start("exec setsid sh -c 'echo $$ ready; exec sleep 50'", grace=0.2)
    stranger = lines(folder)[0].split()[0]
    outcome = node.end()
    assert (outcome.state, outcome.exit_code) == (RunState.TIMED_OUT, None)
    assert outcome.reason == "ended after its timeout of 0.1 s; killed 0.2 s later"
    assert outcome.started_at is not None
    assert not gone(stranger)
    os.kill(int(stranger), signal.SIGKILL)


def test_the_next_daemon_goes_on_counting(node: Node) -> None:
    folder = node.start("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    node.restart()
    assert node.end().state is RunState.TIMED_OUT
    assert folder.stopped is not None
    assert folder.started is not None
    assert folder.stopped.asked >= folder.started.uptime + BRIEF


def test_the_next_daemon_leaves_what_is_left_of_the_grace_and_kills_then(node: Node) -> None:
    folder = node.start("trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done", grace=0.3)
    wait_until(lambda: (node.poll(), folder.stopped)[1])
    node.restart()
    assert node.poll() is None
    outcome = node.end()
    assert str(outcome.reason).endswith("; killed 0.3 s later")
    assert lines(folder) == ["ready", "told"]


def test_an_end_of_a_timeout_that_no_daemon_saw_is_told_by_the_next(node: Node) -> None:
    folder = node.start("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: (node.journal._timeouts.end_due(), folder.exit)[1])
    node.restart()
    outcome = node.journal.entries[RUN].outcome
    assert outcome is not None
    assert (outcome.state, outcome.exit_code) == (RunState.TIMED_OUT, 3)


def test_a_run_that_was_over_before_anybody_told_it_to_end_has_not_timed_out(node: Node) -> None:
    """No daemon was there when its time was over, and then it ended well."""
    folder = node.start("echo ready; sleep 0.2")
    wait_until(lambda: folder.exit)
    node.restart()
    outcome = node.journal.entries[RUN].outcome
    assert outcome is not None
    assert (outcome.state, outcome.exit_code, outcome.reason) == (RunState.SUCCEEDED, 0, None)


def test_a_run_that_somebody_else_killed_has_not_timed_out(node: Node) -> None:
    folder = node.start("echo ready; exec sleep 50", timeout=LONG)
    assert folder.started is not None
    session.send(folder.started.process, signal.SIGKILL)
    assert node.end().state is RunState.FAILED


def test_a_process_of_the_same_number_and_another_age_is_not_signalled(node: Node) -> None:
    folder = node.start("echo ready; sleep 0.1", timeout=LONG)
    assert folder.started is not None
    leader = folder.started.process
    session.send(ProcessId(leader.pid, leader.start_time - 1), signal.SIGKILL)
    session.send(ProcessId(2**22, 1), signal.SIGKILL)
    outcome = node.end()
    assert (outcome.state, outcome.exit_code) == (RunState.SUCCEEDED, 0)


def test_a_mark_that_cannot_be_written_keeps_no_run_alive(node: Node) -> None:
    folder = node.start("echo ready; exec sleep 50")
    (folder.path / "stopped").unlink()
    (folder.path / "stopped").symlink_to("/no/such/folder/stopped")
    outcome = node.end()
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "killed by signal 15")


def test_a_command_that_signals_its_own_group_is_not_kept_by_what_survives_that(node: Node) -> None:
    """The wrapper gets that SIGTERM too, and nobody has told it that the daemon sent one."""
    stays = "trap '' TERM; echo \\$\\$ ready; exec sleep 50"
    folder = node.start(f'trap "kill 0" EXIT; sh -c "{stays}" & sleep 0.3', timeout=LONG)
    outcome = node.end()
    assert outcome.state is not RunState.TIMED_OUT
    os.kill(int(lines(folder)[0].split()[0]), signal.SIGKILL)


@pytest.mark.parametrize("policies", [{}, {"concurrency": Concurrency.REPLACE}])
def test_a_run_that_is_told_to_end_before_its_timeout_is_canceled_with_the_cause(
    node: Node, policies: dict[str, object]
) -> None:
    folder = node.start(
        "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done", timeout=None, **policies
    )
    node.journal.order_end(RUN, "replaced by another")
    node.journal.order_end(RUN, "replaced by a third")
    wait_until(lambda: (node.poll(), folder.stopped)[1])
    node.restart()
    outcome = node.end()
    assert (outcome.state, outcome.exit_code, outcome.reason) == (RunState.CANCELED, 0, "replaced by another")
    assert node.journal.taken == 0
