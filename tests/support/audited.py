"""A fleet whose ledger is audited."""

from datetime import timedelta

import sqlalchemy as sa

from cronkeeper.common.ledger import Result, Rules, Window
from cronkeeper.common.model import Job, RunState
from cronkeeper.common.store.schema import run as run_rows
from cronkeeper.manager import ledger
from cronkeeper.manager.auditor import REST, Auditor

from .fleet import Fleet

MINUTE = timedelta(minutes=1)
RULES = Rules(patience=2 * MINUTE)
"""Shorter than in earnest, so that the tests are."""


class Audited:
    """A fleet, and the auditor of its manager, which sweeps when it is told to."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.auditor = self.another()

    def another(self) -> Auditor:
        """That of a manager that was just started, and leads."""
        auditor = Auditor(self.fleet.server.connect(), self.fleet.store, RULES, lambda: None)
        leader = self.fleet.daemons["first"].leader
        assert leader is not None
        assert leader._reign is not None
        auditor.lead(leader._reign.epoch)
        return auditor

    def sweep(self) -> None:
        for _ in range(100):
            if self.auditor.step(self.fleet.time.now) == REST:
                return
        raise AssertionError("it never rests")

    def go(self, minutes: float, *, every: float = 1) -> None:
        """Let time pass, with a sweep now and then."""
        for _ in range(int(minutes / every)):
            self.fleet.go(every * 60)
            self.sweep()

    def results(self, job: Job) -> list[Result]:
        now = self.fleet.time.now
        window = Window(begin=now - 360 * MINUTE, end=now, now=now)
        return [entry.result for entry in ledger.of_job(self.fleet.desk, job.id, window, RULES).ticks]


def state(fleet: Fleet, run_id: str) -> RunState:
    return fleet.runs()[run_id].state


def set_back(fleet: Fleet, run_id: str) -> None:
    """Let SQL be as it was before the run's end: another copy of it, of an earlier day."""
    back = sa.update(run_rows).where(run_rows.c.id == run_id).values(state=RunState.RUNNING, ended_at=None)
    fleet.store.transaction(lambda c: c.execute(back))
