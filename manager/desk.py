"""What the front desk works with: the three interfaces, and the word to the leader."""

import logging
from dataclasses import dataclass

from cronkeeper.common.artifacts.store import ArtifactStore
from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import BadVersion, Create, NodeExists, NoNode, SetData, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.store.store import Store

log = logging.getLogger(__name__)

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Desk:
    """The front desk of one API process."""

    store: Store
    tree: Tree
    artifacts: ArtifactStore


def tell_leader(tree: Tree, job_id: int, rev: int) -> None:
    """Ask the leader to look at a job.

    Without effect where the tree does not answer: the leader finds the job in SQL, a few seconds later.
    """
    path, data = paths.change(job_id), str(rev).encode()
    try:
        for _ in range(_TRIES):
            if _set(tree, path, data):
                return
    except (Unavailable, NoNode) as error:
        log.warning(
            "job %d waits for the leader's next look into SQL: %s", job_id, error, extra={"job": job_id}
        )


def _set(tree: Tree, path: str, data: bytes) -> bool:
    try:
        tree.commit([Create(path, data)])
        return True
    except NodeExists:
        pass
    try:
        tree.commit([SetData(path, data, tree.get(path).version)])
        return True
    except (NoNode, BadVersion):
        return False
