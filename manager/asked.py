"""Which requests a change of a job is about: written by the front desk, and read for the leader's log only.

The data of `/changes/<job>` is a line for each time that the leader was asked to look at the job: its rev; where
that was on somebody's request, the request's id; and where that was for a run by hand, the run's id.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cronkeeper.common.log import about
from cronkeeper.manager.publish import NOWHERE, Move

log = logging.getLogger(__name__)

MOST_LINES = 20
"""What a change keeps of what was said before the leader looked at it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Ids of requests."""

    jobs: Mapping[int, str]
    """The newest request that changed each job itself, by the job's id."""
    runs: Mapping[str, str]
    """Those for runs by hand, by the runs' ids."""


def said(rev: int, request_id: str | None, run_id: str | None, before: bytes = b"") -> bytes:
    """The data of a change that was `before`, once it is told of this too."""
    words = (str(rev), request_id, run_id) if request_id is not None else (str(rev),)
    line = " ".join(filter(None, words)).encode()
    return b"\n".join([*before.splitlines()[1 - MOST_LINES :], line])


def asked(changes: Mapping[int, bytes]) -> Asked:
    """What these changes, by the ids of their jobs, tell of requests."""
    jobs, runs = {}, {}
    for job_id, data in changes.items():
        for line in data.decode(errors="replace").splitlines():
            match line.split():
                case [_, request_id, run_id]:
                    runs[run_id] = request_id
                case [_, request_id]:
                    jobs[job_id] = request_id
    return Asked(jobs, runs)


def say_published(done: Sequence[Move], by: Asked) -> None:
    """One line for each job whose new rev has come to its node, or which was taken off it."""
    for move in done:
        job, there = move.job, move.target
        if job is None or move.resting:
            continue
        with about(by.jobs.get(job.id)):
            if there is None:
                log.info("job %d is on no node any more: it has ended", job.id, extra={"job": job.id})
            elif there.node != NOWHERE:
                more = {"job": job.id, "node": there.node}
                log.info("job %d, rev %d, is on node %s", job.id, job.rev, there.node, extra=more)
