"""A fleet whose commands fail, and a job that is due once while a test lasts."""

from datetime import timedelta

from cronkeeper.common.model import Retry, RunState

from .fakes import BEGIN
from .fleet import Fleet

TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z"
FIRST, SECOND, THIRD = f"{RUN}.1", f"{RUN}.2", f"{RUN}.3"
YEARLY = "1 13 1 3 *"
"""Due at TICK, and not again while a test lasts."""


def failing(fleet: Fleet, **policies: object) -> None:
    """Let every command of the only node fail, and submit a job that is due soon."""
    for machine in fleet.machines.values():
        machine.run_seconds, machine.exit_code = 1.0, 7
    fleet.submit(**{"schedule": YEARLY, "retry": Retry(attempts=2, delay=10.0), **policies})
    fleet.until(TICK)


def states(fleet: Fleet) -> dict[str, RunState]:
    return {run_id: run.state for run_id, run in sorted(fleet.runs().items())}
