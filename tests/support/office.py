"""A whole front desk in this process, with the API before it: SQLite, the embedded tree, a folder of artifacts."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flask.testing import FlaskClient
from sqlalchemy import Connection
from werkzeug.test import TestResponse

from cronkeeper.api.app import create_app
from cronkeeper.api.identity import Identity, Role
from cronkeeper.api.leaving import Leaving
from cronkeeper.api.services import Services
from cronkeeper.common.artifacts.directory import DirectoryStore
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.embedded import EmbeddedServer, EmbeddedTree
from cronkeeper.common.coordination.tree import Create
from cronkeeper.common.model import Job, LiveNode, Report, RunState, StartedBy, encode
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER, NodeKey
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.common.store.store import Store
from cronkeeper.manager import jobs
from cronkeeper.manager.desk import Desk
from cronkeeper.manager.tokens import find

from .samples import NOW, report

T = TypeVar("T")

TOKENS = {Role.ADMIN: "the admin's token", Role.USER: "the user's token"}
COMMAND = {"type": "command", "command": "/usr/bin/backup --all", "schedule": "*/5 * * * *"}


@dataclass
class Clock:
    """Stands still at `now`."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


class TroubledStore(Store):
    """Counts transactions, and raises each of `troubles` once, in place of one."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.troubles: list[Exception] = []
        self.transactions = 0

    def transaction(self, work: Callable[[Connection], T], *, writes: bool = False) -> T:
        if self.troubles:
            raise self.troubles.pop()
        self.transactions += 1
        return super().transaction(work, writes=writes)


@dataclass
class Office:
    """The API as a client sees it, and what lies behind it."""

    folder: Path
    max_waiters: int = 2
    clock: Clock = field(default_factory=Clock)
    leaving: Leaving = field(default_factory=Leaving)

    def __post_init__(self) -> None:
        self.server = EmbeddedServer(None)
        self.tree: EmbeddedTree = self.server.connect()
        for path in paths.skeleton():
            self.tree.ensure(path)
        self.store = TroubledStore(f"sqlite:///{self.folder / 'cronkeeper.db'}")
        self.desk = Desk(self.store, self.tree, DirectoryStore(self.folder / "store"))
        services = Services(
            desk=self.desk,
            identity=Identity(TOKENS, partial(find, self.desk)),
            timezone="Europe/Berlin",
            max_waiters=self.max_waiters,
            version="1.2.3",
            clock=self.clock,
            leaving=self.leaving,
        )
        self.app = create_app(services)

    def close(self) -> None:
        self.store.close()
        self.server.close()

    def call(self, method: str, path: str, role: Role | None = Role.USER, **options: Any) -> TestResponse:
        """One request with the token of the role, as from a client of its own."""
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {TOKENS[role]}"
        client: FlaskClient = self.app.test_client()
        return client.open(path, method=method, headers=headers, **options)

    def create(self, as_: Role = Role.USER, **changes: Any) -> TestResponse:
        """POST /jobs of a good job with these changes; a field that is set to ... is left out."""
        fields = {name: value for name, value in (COMMAND | changes).items() if value is not ...}
        return self.call("POST", "/jobs", as_, json=fields)

    def jobs(self) -> list[Job]:
        """All that are stored."""
        return list(jobs.listing(self.desk, JobQuery(limit=1000)))

    def report(self, node: str, key: NodeKey, reports: list[Report], **options: Any) -> TestResponse:
        """POST /reports, signed."""
        body = encode(reports)
        headers = {NODE_HEADER: node, SIGNATURE_HEADER: key.sign(node, body)}
        return self.call("POST", "/reports", None, data=body, headers=headers, **options)

    def add_node(self, name: str = "alpha") -> NodeKey:
        """Let a node in, by the API."""
        key = NodeKey.generate()
        added = self.call("POST", "/nodes", Role.ADMIN, json={"name": name, "public_key": key.public})
        assert added.status_code == 201, added.text
        return key

    def live(self, name: str, jobs: int) -> None:
        """Let a node look alive and hold this many jobs."""
        sign = LiveNode(
            name=name, incarnation="1", boot_id="boot", version="9", crond=True, labels={"disk": "ssd"}
        )
        self.tree.commit([Create(paths.live(name), encode(sign), ephemeral=True)])
        self.tree.ensure(paths.claims(name))
        for job_id in range(jobs):
            self.tree.ensure(f"{paths.claims(name)}/{job_id}.1.1-1")


def revs_told(office: Office, job_id: int = 1) -> list[str]:
    """The revs of a job of which the leader was told, and which it has not looked at."""
    told = office.tree.get(paths.change(job_id)).data.decode()
    return [line.split()[0] for line in told.splitlines()]


def of_hand_run(run: dict[str, Any], state: RunState, **changes: Any) -> Report:
    """What a node says of a run that was asked for by hand."""
    fields = {"run_id": run["id"], "job_id": int(run["job_id"]), "copy": 1, "tick": None}
    return report(state, started_by=StartedBy.HAND, **fields | changes)


def problem(answer: TestResponse) -> dict[str, Any]:
    """The error that was answered, known to have the form of one."""
    assert answer.content_type == "application/problem+json"
    content: dict[str, Any] = json.loads(answer.data)
    assert content["status"] == answer.status_code
    assert content["type"] == "about:blank"
    assert content["title"]
    assert content["detail"]
    return content
