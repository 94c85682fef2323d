"""What the leader has to tell the nodes of jobs that came in or were changed: pure."""

from collections.abc import Callable, Mapping, Sequence

from cronkeeper.common.model import ONLY, Claim, Job
from cronkeeper.manager.board import Board
from cronkeeper.manager.placement import JobKey, place, return_home
from cronkeeper.manager.publish import Move, Placed


def changes(
    board: Board,
    found: Sequence[Job],
    claims: Mapping[JobKey, Claim],
    place_at: Callable[[JobKey, str], Placed],
) -> list[Move]:
    """What is to be published, withdrawn or published again; `claims` are of those whose own was lost.

    These go back to the node that had them, if it will do: there are their runs. For jobs with copies see `copies`.
    """
    keys = {(job.id, ONLY): job for job in found if job.ended_at is None}
    new = {key: job for key, job in keys.items() if key not in board.placed}
    homes = {key: job.assigned_node for key, job in new.items() if key in claims and job.assigned_node}
    placed, sites = return_home(homes, board.demand, board.sites())
    placed |= place(new.keys() - placed.keys(), board.demand, sites)
    moves = [
        Move(key, None, place_at(key, node), new[key], claim=claims.get(key)) for key, node in placed.items()
    ]
    for job in found:
        for other in board.everywhere.there(job.id):  # of a job that had this number before
            moves.append(Move(other, board.placed[other], None, job))
        key = (job.id, ONLY)
        here = board.placed.get(key)
        if here is not None and job.ended_at is not None:
            moves.append(Move(key, here, None, job))
        elif here is None or here.node not in board.live or key in board.misplaced:
            continue
        elif job.rev > job.published_rev:
            moves.append(Move(key, here, place_at(key, here.node), job))
    return moves
