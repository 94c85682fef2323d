"""The API is away for an hour, and more goes wrong meanwhile: in the end all is known, once and in order."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from support.fakes import BEGIN, Trouble
from support.fleet import Fleet
from support.promise import blank, complaints

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Report, RunState
from cronkeeper.common.store.store import Store
from cronkeeper.worker.pace import MAX_BATCH
from cronkeeper.worker.report_queue import moment

NODES = ("alpha", "beta", "gamma")
JOBS = 12
AWAY = BEGIN + timedelta(minutes=2)
BACK = AWAY + timedelta(hours=1)


class Watched(Fleet):
    """Notes what the API takes in, and from whom."""

    told: list[tuple[str, Sequence[Report]]]

    def _accept(self, node: str, batch: Sequence[Report]) -> Sequence[str]:
        acknowledged = super()._accept(node, batch)
        self.told.append((node, batch))
        return acknowledged

    def told_by(self, node: str, since: int = 0) -> list[Report]:
        return [report for teller, batch in self.told[since:] if teller == node for report in batch]


def lost(call: str, carry_out: Callable[[], object]) -> object:
    raise Unavailable("the API is away")


def in_order(reports: Sequence[Report]) -> bool:
    moments = [moment(report) for report in reports]
    return moments == sorted(moments)


def minutes(first: datetime, last: datetime) -> int:
    return int((last - first).total_seconds() // 60)


def test_after_an_hour_every_run_is_known_once_and_in_order_and_nothing_is_left(
    tmp_path: Path, store: Store
) -> None:
    """Alpha's daemon is started again in the middle; gamma loses its power, its jobs move, and it comes back."""
    fleet = Watched(tmp_path, blank(store), NODES, {"api": Trouble()})
    fleet.told = []
    jobs = [fleet.submit(schedule="* * * * *") for _ in range(JOBS)]
    fleet.until(AWAY)
    fleet.trouble["api"].always(lost)
    fleet.until(AWAY + timedelta(minutes=20, seconds=33))
    fleet.power_off("gamma")
    fleet.until(AWAY + timedelta(minutes=30, seconds=32))
    fleet.restart("alpha")
    fleet.until(AWAY + timedelta(minutes=40))
    fleet.work("gamma")
    fleet.until(BACK)
    before = len(fleet.told)
    assert sum(len(claim.unfinished) for claim in fleet.claims().values()) > JOBS * 50
    fleet.trouble["api"].disarm()
    fleet.until(BACK + timedelta(seconds=25))
    assert complaints(fleet) == []

    for node in NODES:
        told = fleet.told_by(node, before)
        own = [report for report in told if report.node == node and report.state is not RunState.SKIPPED]
        assert in_order(own), node
        assert max(Counter(report.run_id for report in told if report.state.final).values()) == 1
    assert max(len(batch) for _, batch in fleet.told) <= MAX_BATCH
    runs = fleet.runs()
    states = Counter(run.state for run in runs.values())
    started = len(fleet.starts())
    assert states[RunState.SUCCEEDED] + states[RunState.LOST] == started
    of_job = Counter(run.job_id for run in runs.values())
    assert set(of_job.values()) == {minutes(BEGIN, fleet.time.now)}
    assert len(of_job) == len(jobs)
