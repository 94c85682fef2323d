"""What a node's own disk tells of the jobs it ran: written once into each tree that has no such word of it yet.

It is read only where the claims went with a tree that was lost (see `manager.restoring`).
"""

from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common.model import Unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job's: the last tick of which there is a run on the disk, and the runs that have not ended."""

    job_id: int
    copy: int
    tick: datetime | None
    unfinished: tuple[Unfinished, ...] = ()
