"""What this node's run folders tell of its jobs, for a leader that has lost the claims."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from cronkeeper.common.model import Unfinished
from cronkeeper.common.records import Record
from cronkeeper.worker.alone import Alone, Local
from cronkeeper.worker.journal import Entry, Journal


@dataclass(frozen=True, slots=True)
class Told:
    """The runs that the tree was told of, and when, on the lease's clock: it had lost them all."""

    runs: frozenset[str] = frozenset()
    at: float = 0.0

    @classmethod
    def of(cls, records: Sequence[Record], at: float) -> "Told":
        """What these records tell."""
        return cls(frozenset(run.run_id for record in records for run in record.unfinished), at)

    def since(self, clock: float) -> Container[str]:
        """The runs, if they were told of no earlier than that: their jobs are yet to be published again."""
        return self.runs if self.at >= clock else ()


def of(journal: Journal, alone: Alone) -> tuple[Record, ...]:
    """A record of each job with a run that the API has not acknowledged: of all others SQL knows.

    And of each that went on while the node was cut off: SQL may not know what was skipped then.
    """
    return tuple(
        _record(*key, [journal.entries[run_id] for run_id in sorted(journal.by_job.get(key, ()))], local)
        for key in sorted({key for key, runs in journal.by_job.items() if runs} | alone.records.keys())
        for local in [alone.records.get(key)]
    )


def _record(job_id: int, copy: int, entries: Iterable[Entry], local: Local | None) -> Record:
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
    ticks = [*(plan.tick for plan, _ in plans), local.claim.watermark if local is not None else None]
    last = max((tick for tick in ticks if tick is not None), default=None)
    return Record(job_id=job_id, copy=copy, tick=last, unfinished=unfinished)
