"""What the API shows of a node's machine, and asking a node to read its configuration again."""

import pytest
from support.office import Office, problem
from support.samples import NOW, facts

from cronkeeper.api import examples
from cronkeeper.api.identity import Role
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Create, Delete, SetData
from cronkeeper.common.facts import Condition, ConditionName, Configuration
from cronkeeper.common.model import encode, replace
from cronkeeper.common.store import audit
from cronkeeper.worker.process import Account, CannotStart
from cronkeeper.worker.reload import Live


def nobody(run_as: str | None) -> Account:
    raise CannotStart(f"not as {run_as}")


LIVE = Live(labels={"disk": "ssd"}, capacity=0, max_running=16, account=nobody)
TOLD = replace(
    facts(LIVE, NOW),
    clock_offset=-0.25,
    clock_error=0.0015,
    configuration=Configuration(loaded_at=NOW, needs_restart=("worker.home",), request="5d2c81f0"),
)


@pytest.fixture
def alpha(office: Office) -> Office:
    """With a live node alpha that has told of its machine."""
    office.add_node("alpha")
    office.live("alpha", jobs=1)
    office.tree.commit([Create(paths.facts("alpha"), encode(TOLD))])
    return office


def test_a_node_is_shown_with_the_facts_of_its_machine(alpha: Office) -> None:
    found = alpha.call("GET", "/nodes/alpha").json or {}
    assert found["facts"] == {
        "hostname": "db1.example",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0-18-amd64",
        "architecture": "x86_64",
        "cores": 4,
        "memory": 8589934592,
        "disk_total": 107374182400,
        "disk_free": 42949672960,
        "version": "1.2.3",
        "python": "3.11.2",
        "crond": "debian",
        "crontab": "/etc/cron.d/cronkeeper",
        "labels": {"disk": "ssd"},
        "timezone": "Europe/Berlin",
        "max_running": 16,
        "boot_id": "boot-1",
        "booted_at": "2026-02-28T12:00:00.123456Z",
        "started_at": "2026-03-01T11:00:00.123456Z",
        "told_at": "2026-03-01T12:00:00.123456Z",
        "clock_offset": -0.25,
        "clock_error": 0.0015,
        "configuration": {
            "loaded_at": "2026-03-01T12:00:00.123456Z",
            "error": None,
            "needs_restart": ["worker.home"],
            "request": "5d2c81f0",
        },
    }
    assert found["facts"].keys() == examples.FACTS.keys()


def test_what_is_wrong_with_a_node_is_in_the_list_and_on_its_own_page(alpha: Office) -> None:
    wrong = (Condition(name=ConditionName.CROND_HUNG, reason="it hangs", since=NOW),)
    path = paths.facts("alpha")
    known = alpha.tree.get(path)
    alpha.tree.commit([SetData(path, encode(replace(TOLD, conditions=wrong)), known.version)])
    shown = [{"name": "crond_hung", "reason": "it hangs", "since": "2026-03-01T12:00:00.123456Z"}]
    assert (alpha.call("GET", "/nodes/alpha").json or {})["conditions"] == shown
    (listed,) = alpha.call("GET", "/nodes").json or []
    assert listed["conditions"] == shown
    alpha.tree.commit([Delete(paths.live("alpha"), 0)])
    (listed,) = alpha.call("GET", "/nodes").json or []
    assert listed["conditions"] is None, "what it said last is of a time that is over"


def test_the_list_of_nodes_has_neither_facts_nor_runs_and_costs_none(alpha: Office) -> None:
    (listed,) = alpha.call("GET", "/nodes").json or []
    shown = alpha.call("GET", "/nodes/alpha").json or {}
    alone = ("facts", "runs", "waiting")
    assert listed == {name: value for name, value in shown.items() if name not in alone}


def test_facts_are_null_while_the_tree_is_away(alpha: Office) -> None:
    alpha.tree.disconnect()
    found = alpha.call("GET", "/nodes/alpha").json or {}
    assert (found["live"], found["facts"]) == (None, None)
    assert alpha.call("POST", "/nodes/alpha/reload", Role.ADMIN).status_code == 503


def test_an_admin_has_a_node_read_its_configuration_again(alpha: Office) -> None:
    answer = alpha.call("POST", "/nodes/alpha/reload", Role.ADMIN)
    assert answer.status_code == 202
    request = (answer.json or {})["request"]
    assert alpha.tree.get(paths.reload("alpha")).data.decode() == request
    again = alpha.call("POST", "/nodes/alpha/reload", Role.ADMIN)
    assert (again.status_code, again.json) == (202, {"request": request}), "nobody has seen to it yet"
    assert alpha.tree.get(paths.reload("alpha")).version == 1, "and now it is to be seen to after this"
    done = [each for each in alpha.store.transaction(audit.listing) if each.action == "node.reload"]
    assert [(each.actor, each.detail) for each in done] == [("admin", "alpha")] * 2


def test_who_may_not_ask_or_whom_nobody_can_ask(alpha: Office) -> None:
    assert alpha.call("POST", "/nodes/alpha/reload", Role.USER).status_code == 403
    assert alpha.call("POST", "/nodes/none/reload", Role.ADMIN).status_code == 404
    alpha.add_node("beta")
    refused = alpha.call("POST", "/nodes/beta/reload", Role.ADMIN)
    assert refused.status_code == 409
    assert problem(refused)["detail"].startswith("node beta is not live")
    assert alpha.tree.get_many([paths.reload("alpha"), paths.reload("beta")]) == [None, None]
