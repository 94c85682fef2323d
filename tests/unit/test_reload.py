"""Reading the configuration again: what counts at once, what needs a restart, and what changes nothing."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cronkeeper.cli import rereading
from cronkeeper.cli.working import settings_of
from cronkeeper.common.config import differing, load
from cronkeeper.common.errors import Conflict, Invalid
from cronkeeper.common.settings import Config, Worker
from cronkeeper.common.waker import HungUp, Waker
from cronkeeper.worker.assembly import Allowed
from cronkeeper.worker.process import CannotStart
from cronkeeper.worker.reload import no_file

FIRST = """
[worker]
node = "alpha"
labels = ["disk=ssd"]
max_running = 3
allow_run_as = ["root"]
[log]
level = "warning"
"""
USED = "/etc/cronkeeper.toml"


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is read sets the log up, and the environment overrules what is read."""
    for name in [name for name in os.environ if name.startswith("CRONKEEPER_")]:
        monkeypatch.delenv(name)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cronkeeper.toml"
    path.write_text(FIRST)
    return path


def test_labels_places_users_and_the_log_count_at_once(path: Path) -> None:
    read = rereading.of_worker(path, load(path), settings_of)
    assert read().needs_restart == ()
    path.write_text(
        '[worker]\nnode = "alpha"\nlabels = ["disk=hdd"]\nmax_running = 5\n[log]\nlevel = "debug"\n'
    )
    loaded = read()
    assert (loaded.live.labels, loaded.live.max_running, loaded.needs_restart) == ({"disk": "hdd"}, 5, ())
    assert logging.getLogger().level == logging.DEBUG
    with pytest.raises(CannotStart, match="runs no jobs as 'root'"):
        loaded.live.account("root")


def test_what_else_differs_is_named_and_what_is_not_the_workers_is_not(path: Path) -> None:
    read = rereading.of_worker(path, load(path), settings_of)
    path.write_text(
        FIRST.replace("alpha", "beta")
        + '[zookeeper]\nroot = "/other"\n[api]\nurl = "http://x"\nthreads = 3\n'
        + "[history]\nruns_days = 1\n[sql]\nurl = 'x'\n[fleet]\non_time = 5\n"
    )
    assert read().needs_restart == ("fleet.on_time", "zookeeper.root", "worker.node", "api.url")
    path.write_text(FIRST)
    assert read().needs_restart == (), "it is as it was when the daemon was started"


def test_the_user_of_jobs_that_name_none_is_the_fleets_until_the_restart(path: Path) -> None:
    read = rereading.of_worker(path, load(path), settings_of)
    path.write_text(FIRST + '[fleet]\nrun_as = "root"\n')
    loaded = read()
    assert loaded.needs_restart == ("fleet.run_as",)
    assert loaded.live.account == Allowed(Config().fleet.run_as, ("root",))


def test_the_environment_overrules_the_file_then_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONKEEPER_WORKER_LABELS", "disk=tape")
    read = rereading.of_worker(path, load(path), settings_of)
    path.write_text(FIRST.replace("ssd", "hdd"))
    assert read().live.labels == {"disk": "tape"}


@pytest.mark.parametrize(
    "wrong", ['labels = ["disk"]', "max_running = -1", "speed = 3", "labels = [", "[log]\nlevel = 'loud'"]
)
def test_a_wrong_file_is_refused_in_the_words_of_check_config(path: Path, wrong: str) -> None:
    read = rereading.of_worker(path, load(path), settings_of)
    path.write_text(f"[worker]\n{wrong}\n")
    with pytest.raises(Invalid) as checked:
        load(path)
    with pytest.raises(Invalid) as refused:
        read()
    assert str(refused.value) == str(checked.value)
    assert str(path) in str(refused.value)
    assert logging.getLogger().level != logging.DEBUG


def test_a_file_that_is_gone_is_refused(path: Path) -> None:
    read = rereading.of_worker(path, load(path), settings_of)
    path.unlink()
    with pytest.raises(Invalid, match="can't be read"):
        read()


def test_an_install_without_a_file_says_so() -> None:
    with pytest.raises(Conflict, match="no configuration"):
        no_file()


def test_a_manager_goes_by_other_limits_of_its_history_at_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read = rereading.of_manager(path, load(path))
    path.write_text("[history]\nruns_days = 7\n[sql]\nurl = 'x'\n[worker]\nnode = 'mine'\n")
    history = read()
    assert history is not None
    assert history.runs_days == 7
    path.write_text("[history]\nruns_days = -7\n")
    assert read() is None


def test_every_key_that_counts_at_once_is_a_key() -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    keys = {f"{name}.{each.name}" for name, kind in sections.items() for each in msgspec.structs.fields(kind)}
    assert rereading.AT_ONCE - keys == set()
    assert set(rereading.OF_WORKER) | set(rereading.OF_MANAGER) <= sections.keys()


def test_the_keys_that_differ_are_named_in_order() -> None:
    new = Config(worker=Worker(node="b", home="/x"))
    assert differing(Config(), new, ("worker",)) == ["worker.node", "worker.home"]
    assert differing(Config(), new, ("fleet", "log")) == []


@pytest.fixture
def hang_up() -> Iterator[Callable[[], None]]:
    before = signal.getsignal(signal.SIGHUP)
    yield lambda: os.kill(os.getpid(), signal.SIGHUP)
    signal.signal(signal.SIGHUP, before)


def test_sighup_is_heard_once_however_often_it_came_and_wakes_the_loop(hang_up: Callable[[], None]) -> None:
    waker = Waker()
    hung_up = HungUp(waker)
    assert not hung_up()
    hang_up()
    hang_up()
    waker.wait(60.0)
    assert hung_up()
    assert not hung_up()
    hang_up()
    assert hung_up()
