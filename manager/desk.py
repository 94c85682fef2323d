"""What the front desk works with: the three interfaces, the audit, and the word to the leader."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from cronkeeper.common.artifacts.store import ArtifactStore
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, Create, NodeExists, NoNode, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.log import request
from cronkeeper.common.store import audit
from cronkeeper.common.store.store import Store
from cronkeeper.manager.asked import said

log = logging.getLogger(__name__)

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Desk:
    """The front desk of one API process."""

    store: Store
    tree: Tree
    artifacts: ArtifactStore


def note(
    connection: Connection, actor: str, action: str, now: datetime, *, detail: str, job_id: int | None = None
) -> None:
    """Write into the audit what the current request does, in the same transaction."""
    audit.add(
        connection,
        actor=actor,
        action=action,
        job_id=job_id,
        detail=detail,
        now=now,
        request_id=request.get(),
    )


def tell_leader(tree: Tree, job_id: int, rev: int, run_id: str | None = None) -> None:
    """Ask the leader to look at a job, or at a run of it that was asked for.

    Without effect where the tree does not answer: the leader finds the job in SQL, a few seconds later.
    """
    say = partial(said, rev, request.get(), run_id)
    try:
        for _ in range(_TRIES):
            if _set(tree, paths.change(job_id), say):
                return
    except (Unavailable, NoNode) as error:
        log.warning(
            "job %d waits for the leader's next look into SQL: %s", job_id, error, extra={"job": job_id}
        )


def _set(tree: Tree, path: str, say: Callable[..., bytes]) -> bool:
    try:
        tree.commit([Create(path, say())])
        return True
    except NodeExists:
        pass
    try:
        before = tree.get(path)
        tree.commit([SetData(path, say(before=before.data), before.version)])
        return True
    except (NoNode, BadVersion):
        return False
