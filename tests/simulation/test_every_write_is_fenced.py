"""Whatever a leader writes, to the tree or to SQL, asks first whether its epoch is still the one that may."""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from support.backups import backup, put_back
from support.fakes import Trouble
from support.fleet import Fleet
from support.labelled import EACH_MINUTE, NEVER, TICK
from support.promise import blank

import cronkeeper.manager
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Check, Create, Node, Op, SetData
from cronkeeper.common.model import Concurrency, Copies
from cronkeeper.common.store.store import Store

MANAGER = Path(cronkeeper.manager.__file__).parent
OF_THE_FRONT_DESK = {"desk", "nodes", "jobs", "runs", "tokens", "reports", "ledger", "pauses"}
READ_ONLY = {
    "forgotten.park",
    "intake.take",
    "leader._look",
    "moves._look",
    "copies._of_known",
    "restoring.claims",
    "put_back.set_right",
}
"""Functions with a transaction that writes nothing."""
ELECTS = {"leadership._win", "leadership._begin", "put_back._mend"}
"""Here the epoch comes about: by an ephemeral node, and by compare-and-set."""
ON_REFUSAL = {"publish._check_epoch"}
BY_THE_STORE = {"mark.keep", "leadership._note"}
"""What it calls there fences."""
ON_ITS_OWN = {"retention", "auditor", "strays", "one_shots"}
"""They have their own loops, and tests of their own."""


class Writes:
    """What one leader wrote, and by which of its functions."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, Sequence[Op]]] = []
        self.transactions: list[tuple[str, list[str]]] = []
        self._statements: list[str] | None = None

    def bring(self, call: str, carry_out: Any) -> Any:
        """To every call of the leader's."""
        if call != "sql":
            return carry_out()
        self._statements = []
        try:
            return carry_out()
        finally:
            changes = [each for each in self._statements if each.split()[0] in ("INSERT", "UPDATE", "DELETE")]
            self.transactions.append((asking(), changes))
            self._statements = None

    def statement(self, _conn: Any, _cursor: Any, text: str, *_: Any) -> None:
        if self._statements is not None:
            self._statements.append(text)

    @contextmanager
    def of(self, fleet: Fleet, store: Store) -> Iterator[None]:
        """Of the fleet's first leader."""
        tree = fleet.daemons["first"].tree
        commit = tree._commit

        def noted(ops: Sequence[Op]) -> int:
            self.batches.append((asking(), ops))
            return commit(ops)

        tree._commit = noted  # type: ignore[method-assign]
        sa.event.listen(store._engine, "before_cursor_execute", self.statement)
        yield
        sa.event.remove(store._engine, "before_cursor_execute", self.statement)


def asking() -> str:
    """The innermost function of the manager's that is being carried out, but for what lies in another one."""
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if Path(code.co_filename).parent.resolve() == MANAGER.resolve() and code.co_name[0] != "<":
            return f"{Path(code.co_filename).stem}.{code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "nobody"


def calling(*methods: str) -> dict[str, str]:
    """The leader's functions that call one of these methods, and the text of each."""
    found = {}
    for path in MANAGER.glob("*.py"):
        if path.stem in OF_THE_FRONT_DESK | ON_ITS_OWN:
            continue
        text = path.read_text()
        tree = ast.parse(text)
        outer = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef)]
        for function in (each for node in outer for each in node.body if isinstance(each, ast.FunctionDef)):
            source = ast.get_source_segment(text, function) or ""
            if any(f".{method}(" in source for method in methods):
                found[f"{path.stem}.{function.name}"] = source
    return found


def a_life(fleet: Fleet, store: Store) -> None:
    """Everything that a leader ever writes something for."""
    machine = fleet.machines["alpha"]
    fleet.go(2)
    machine.run_seconds = 300
    bound = fleet.submit(schedule=EACH_MINUTE, node="alpha")
    free = [fleet.submit(schedule=NEVER, concurrency=Concurrency.ALLOW) for _ in range(6)]
    never = fleet.submit(schedule=NEVER, requires={"disk": "ssd"})
    fleet.request(never)
    fleet.request(free[0])
    fleet.until(TICK)
    fleet.go(5)
    fleet.change(bound, node="beta")  # it rests until its run has ended
    fleet.remove(never)
    fleet.go(10)
    running = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(1)
    fleet.request(running)
    fleet.go(4)
    fleet.remove(running)  # its run goes on, and nobody will report its end
    fleet.drain("beta")
    copy = backup(store)
    fleet.go(60)
    fleet.undrain("beta")
    fleet.go(150)  # evened out
    everywhere = fleet.submit(schedule=NEVER, copies=Copies.ALL)
    fleet.pause("beta")
    fleet.go(10)
    fleet.resume("beta")
    fleet.go(10)
    asked = fleet.submit(schedule=NEVER, node="alpha")
    fleet.go(2)
    fleet.power_off("alpha")
    fleet.request(asked)
    fleet.go(80)
    fleet.forget("alpha")
    fleet.go(20)
    fleet.remove(everywhere)
    fleet.go(10)
    put_back(store, copy)
    fleet.go(20)
    fleet.lose_tree(fleet.copy_tree() | {paths.MARK: Node(b"1", 1, 0)})
    fleet.go(40)


def test_every_write_of_a_leader_is_fenced_and_none_is_left_out(tmp_path: Path) -> None:
    store, trouble, writes = Store("sqlite://"), Trouble(), Writes()
    store.upgrade()
    fleet = Fleet(tmp_path, blank(store), ("alpha", "beta"), {"leader": trouble})
    trouble.always(writes.bring)
    with writes.of(fleet, store):
        a_life(fleet, store)
    store.close()
    for who, ops in writes.batches:
        assert is_fenced(ops), f"{who} writes {ops}"
    for who, changes in writes.transactions:
        assert not changes or changes[0].startswith("UPDATE leader SET"), f"{who} writes {changes}"
        assert not changes or who not in READ_ONLY
    to_tree, to_sql = calling("commit", "commit_many"), calling("transaction")
    assert {who for who, _ in writes.batches} == to_tree.keys() - ON_REFUSAL
    assert {who for who, changes in writes.transactions if changes} == to_sql.keys() - READ_ONLY
    unfenced = [who for who, source in to_sql.items() if "leader.fence(" not in source]
    assert set(unfenced) <= READ_ONLY | ELECTS | BY_THE_STORE


def is_fenced(ops: Sequence[Op]) -> bool:
    """Or it is what makes the epoch."""
    match ops:
        case [Check(path=paths.EPOCH), *_]:
            return True
        case [Create(path=paths.LEADER, ephemeral=True)]:
            return True
        case [Create(path=paths.EPOCH | paths.MARK | paths.NOTED, data=b"")]:
            return True
        case [SetData(path=paths.EPOCH), SetData(path=paths.MARK)]:
            return True
    return False
