"""Reports, made from what this node knows of a run."""

from datetime import datetime

from cronkeeper.common.model import Outcome, Output, Report, RunState, Skip, StartedBy, Unfinished, replace
from cronkeeper.worker.assignment import Held
from cronkeeper.worker.claims import skip_id
from cronkeeper.worker.outputs import size_of
from cronkeeper.worker.run_folder import RunFolder


def of_start(folder: RunFolder, now: datetime) -> Report:
    """The run's process has been started."""
    return replace(_of(folder, RunState.RUNNING), started_at=now)


def of_end(folder: RunFolder, outcome: Outcome) -> Report:
    """The run has ended. Of what it wrote only the sizes are told here: see `outputs.with_outputs`."""
    unmarked = folder.given_up or (outcome.state is not RunState.LOST and folder.started is None)
    return replace(
        _of(folder, outcome.state),
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        exit_code=outcome.exit_code,
        reason=outcome.reason,
        unbegun=outcome.started_at is None and unmarked,
        stdout=Output(size=size_of(folder, "stdout"), data=b""),
        stderr=Output(size=size_of(folder, "stderr"), data=b""),
    )


def of_claimed(held: Held, run: Unfinished, outcome: Outcome) -> Report:
    """A run that only the claim knows of has ended: its folder is gone, or was never here."""
    return Report(
        run_id=run.run_id,
        job_id=held.name.job_id,
        copy=held.name.copy,
        tick=run.tick,
        attempt=run.attempt,
        gen=str(held.name.gen),
        node=run.node,
        started_by=run.started_by,
        state=outcome.state,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        exit_code=outcome.exit_code,
        reason=outcome.reason,
    )


def of_skip(held: Held, skip: Skip, node: str, now: datetime) -> Report:
    """Ticks that will not run, under the last one's name."""
    which = "" if skip.first == skip.last else f": the ticks from {skip.first:%FT%TZ} to {skip.last:%FT%TZ}"
    return Report(
        run_id=skip_id(held.spec, skip),
        job_id=held.name.job_id,
        copy=held.name.copy,
        tick=skip.last,
        attempt=1,
        gen=str(held.name.gen),
        node=node,
        started_by=StartedBy.CLOCK,
        state=RunState.SKIPPED,
        ended_at=now,
        reason=skip.reason + which,
        first_tick=None if skip.first == skip.last else skip.first,
    )


def _of(folder: RunFolder, state: RunState) -> Report:
    """What the plan says of the run."""
    plan = folder.plan
    return Report(
        run_id=plan.run_id,
        job_id=plan.spec.job_id,
        copy=plan.spec.copy,
        tick=plan.tick,
        attempt=plan.attempt,
        gen=plan.gen,
        node=plan.node,
        started_by=plan.started_by,
        state=state,
        claimed_at=plan.claimed_at,
    )
