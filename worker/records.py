"""What this node's run folders tell of its jobs, for a leader that has lost the claims."""

from collections.abc import Iterable

from cronkeeper.common.model import Unfinished
from cronkeeper.common.records import Record
from cronkeeper.worker.journal import Entry, Journal


def of(journal: Journal) -> tuple[Record, ...]:
    """A record of each job with a run that the API has not acknowledged: of all others SQL knows."""
    return tuple(
        _record(*key, [journal.entries[run_id] for run_id in sorted(run_ids)])
        for key, run_ids in sorted(journal.by_job.items())
        if run_ids
    )


def _record(job_id: int, copy: int, entries: Iterable[Entry]) -> Record:
    plans = [(entry.folder.plan, entry.outcome is None) for entry in entries]
    unfinished = tuple(
        Unfinished(
            run_id=plan.run_id,
            tick=plan.tick,
            attempt=plan.attempt,
            node=plan.node,
            boot_id=plan.boot_id,
            started_by=plan.started_by,
        )
        for plan, goes_on in plans
        if goes_on
    )
    last = max((plan.tick for plan, _ in plans if plan.tick is not None), default=None)
    return Record(job_id=job_id, copy=copy, tick=last, unfinished=unfinished)
