"""A tree that was lost, or put back to an earlier day: nothing that it says of who has which job may count."""

import logging

from sqlalchemy import Connection

from cronkeeper.common.coordination import paths
from cronkeeper.common.coordination.tree import Check, Delete, Op, Tree
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.store import jobs, leader

log = logging.getLogger(__name__)

BATCH = 500


def clear_out(tree: Tree, fence: Check) -> None:
    """Take out of the tree what it says of who has which job, and of what nodes said. Raises: Unavailable."""
    nodes = tree.children(paths.NODES)
    folders = [folder(node) for node in nodes for folder in (paths.claims, paths.specs, paths.inbox)]
    found = zip([*folders, paths.PARKED], tree.children_many([*folders, paths.PARKED]), strict=True)
    old = [f"{folder}/{name}" for folder, names in found for name in names or ()]
    old += [paths.records(node) for node in nodes]
    for first in range(0, len(old), BATCH):
        some = old[first : first + BATCH]
        there = zip(some, tree.get_many(some), strict=True)
        writes: list[list[Op]] = [
            [fence, Delete(path, node.version)] for path, node in there if node is not None
        ]
        for error in tree.commit_many(writes):
            if error is not None:
                raise Unavailable(f"the tree can't be cleared out: {error}") from error
    log.error(
        "ZooKeeper was lost or put back to an earlier day: all jobs are published again (%d taken out)",
        len(old),
    )


def forget_claims(connection: Connection, epoch: int) -> None:
    """SQL takes no job for published any more."""
    leader.fence(connection, epoch)
    jobs.lose_claims(connection)
