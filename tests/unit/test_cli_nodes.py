"""`cronkeeper node show` and `node reload`, against the real API and what a worker does about them."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result
from support.office import TOKENS, Office
from support.samples import NOW, facts

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import serve_embedded
from cronkeeper.cli import node_reload, node_view
from cronkeeper.cli.client import Client
from cronkeeper.cli.nodes import node
from cronkeeper.common.clock import utc_now
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import LiveNode
from cronkeeper.worker.presence import Presence
from cronkeeper.worker.process import Account, CannotStart
from cronkeeper.worker.reload import Live, Loaded, Reload
from cronkeeper.worker.standing import Standing

Words = Callable[..., Result]
WRONG = "worker.labels (from /etc/cronkeeper.toml) is wrong: 'disk' has no ="


def nobody(run_as: str | None) -> Account:
    raise CannotStart(f"not as {run_as}")


LIVE = Live(labels={"disk": "ssd"}, capacity=0, max_running=16, account=nobody)


@contextmanager
def worker(office: Office, name: str, read: Callable[[], Loaded]) -> Iterator[None]:
    """A node whose worker does nothing but stand there."""
    office.add_node(name)
    tree, bell, stop = office.server.connect(), threading.Event(), threading.Event()
    sign = LiveNode(name=name, incarnation="1", boot_id="b", version="1", crond=True, labels={"disk": "ssd"})
    standing = Standing(tree, Presence(tree, sign), facts, Reload(read, NOW), LIVE, bell.set)

    def rounds() -> None:
        while not stop.is_set():
            bell.clear()
            clock = time.monotonic()
            standing.reload(utc_now())
            standing.keep(clock, resync=False)
            standing.tell(utc_now(), clock)
            bell.wait(standing.wait(time.monotonic()))

    thread = threading.Thread(target=rounds)
    thread.start()
    yield
    stop.set()
    bell.set()
    thread.join()


def refuses() -> Loaded:
    raise Invalid(WRONG)


@pytest.fixture
def url(office: Office) -> Iterator[str]:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = serve_embedded(office.app, listen("127.0.0.1", 0), threads=2)
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@pytest.fixture
def client(url: str) -> Client:
    return Client(url, TOKENS[Role.ADMIN])


@pytest.fixture
def say(office: Office, url: str) -> Iterator[Words]:
    """Runs `cronkeeper node …` as an admin: n1 is right, n2 refuses, n3 wants a restart, and n4 is not live."""

    def say(*words: str, role: Role = Role.ADMIN) -> Result:
        environment = {
            "CRONKEEPER_URL": url,
            "CRONKEEPER_TOKEN": TOKENS[role],
            "CRONKEEPER_TOKEN_FILE": None,
        }
        return CliRunner().invoke(node, words, env=environment)

    with (
        worker(office, "n1", lambda: Loaded(LIVE)),
        worker(office, "n2", refuses),
        worker(office, "n3", lambda: Loaded(LIVE, ("worker.home", "api.url"))),
    ):
        office.add_node("n4")
        yield say


def test_each_node_says_what_became_of_it(say: Words) -> None:
    result = say("reload", "n1", "n3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "n1: reloaded\nn3: reloaded; needs a restart: worker.home, api.url\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["n2"], 1, f"n2: refused: {WRONG}\n"),
        (["n4"], 1, "n4: is not live: its worker reads its configuration when it is started\n"),
        (["none"], 3, "none: there is no node none\n"),
        ([], 2, None),
        (["n1", "--all"], 2, None),
    ],
)
def test_a_refusal_is_said_and_has_its_code(
    say: Words, words: list[str], code: int, said: str | None
) -> None:
    result = say("reload", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said is None or result.stderr == said


def test_all_nodes_are_asked_whatever_one_of_them_says(say: Words) -> None:
    result = say("reload", "--all")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["n1", "n3"]
    assert sorted(line.split(":")[0] for line in result.stderr.splitlines()) == ["n2", "n4"]


def test_as_json_there_are_the_nodes_as_they_are_then(say: Words) -> None:
    result = say("reload", "n1", "n2", "--json")
    nodes = json.loads(result.stdout)
    assert [each["name"] for each in nodes] == ["n1", "n2"]
    assert [each["facts"]["configuration"]["error"] for each in nodes] == [None, WRONG]
    assert result.exit_code == 1


def test_a_node_that_does_not_answer_in_time_may_do_it_yet(
    say: Words, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    say("reload", "n1")
    (configuration,) = [each["facts"]["configuration"] for each in [client.call("GET", "/nodes/n1").json]]
    requests = {"n4": "5d2c81f0", "n1": configuration["request"]}
    assert list(node_reload.await_all(client, requests, patience=0.1)) == ["n1"]
    assert node_reload.say("n4", None, as_json=False) == 4
    assert capsys.readouterr().err == "n4: has not answered within 15 s, and may do it yet\n"


def test_a_user_may_not_ask(say: Words) -> None:
    result = say("reload", "n1", role=Role.USER)
    assert result.exit_code == 1
    assert "for admins only" in result.stderr


def test_a_sheet_of_a_node_is_for_people(say: Words) -> None:
    shown = say("show", "n3").stdout
    rows = {line[:14].strip(): line[15:].strip() for line in shown.splitlines()}
    assert rows["name"] == "n3"
    assert rows["labels"] == "disk=ssd"
    assert rows["host"] == "db1.example"
    assert rows["system"] == "Debian GNU/Linux 12 (bookworm), 6.1.0-18-amd64, x86_64"
    assert rows["memory"] == "8.0 GiB"
    assert rows["disk"] == "40.0 GiB free of 100.0 GiB, where worker.home lies"
    assert rows["cron"] == "Debian's cron"
    assert rows["versions"] == "cronkeeper 1.2.3, Python 3.11.2"
    assert rows["time zone"] == "Europe/Berlin"
    assert rows["clock"].startswith("right, to ")
    say("reload", "n3")
    assert "needs a restart: worker.home, api.url" in say("show", "n3").stdout
    assert "it has told nothing of its machine yet" in say("show", "n4").stdout
    assert json.loads(say("show", "n3", "--json").stdout)["facts"]["cores"] == 4


@pytest.mark.parametrize(
    ("offset", "error", "said"),
    [
        (None, None, "not measured yet"),
        (0.0004, 0.001, "right, to 1.0 ms"),
        (0.25, 0.001, "250.0 ms ahead, to 1.0 ms"),
        (-3.21, 0.002, "3.2s behind, to 2.0 ms"),
    ],
)
def test_a_clock_is_right_or_ahead_or_behind(offset: float | None, error: float | None, said: str) -> None:
    assert node_view._clock(offset, error)[0] == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024**2, "1.5 GiB")]
)
def test_amounts_have_a_unit(count: int, said: str) -> None:
    assert node_view.amount(count) == said
