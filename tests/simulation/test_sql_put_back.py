"""SQL is put back to a backup in the midst of random trouble: whatever it has forgotten, nothing begins twice.

What the history of such a fleet has is judged, but not what the ledger has forgotten: the marks have unit tests.
ZooKeeper is not put back, too: that both are of an earlier day is not noticed. Nobody edits or removes a job here,
for what is in force after that is SQL's word of before, and all are made at the beginning: one that SQL has
forgotten before it was published is gone.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from simulation.dice import throw
from simulation.history import Complaint
from simulation.judge import judge
from simulation.play import Stage
from simulation.scenario import Deed, Fault, Scenario
from support.backups import Backup, backup, put_back

from cronkeeper.common.store.store import Store

SEEDS = range(20)
ONLY_SQL_KNEW = {"missed", "untold", "mistold", "late"}
TOLD = 35.0
"""Seconds after which a backup is told to be one."""
FORGOTTEN = "was started and SQL does not know it"
OF_THE_ONE_BEFORE = "no policy asks for another attempt after the one before"
"""That is found by what SQL says of it."""
AUDITED = ("is told as claimed: nothing of it goes on any more", "is still claimed")
LISTS = "the claim "
"""A run of which SQL has forgotten that it had ended: the auditor finds that, and is not played here."""


class Theater(Stage):
    """SQL is put back, once or twice, to what it was at one moment."""

    copy: Backup

    def put_back_at(self, moment: float, *later: float) -> None:
        cluster, begin = self.cluster, self.cluster.time.seconds
        cluster.at(begin + moment, self._keep)
        for each in later:
            cluster.at(begin + each, lambda: put_back(cluster.store, self.copy))

    def _keep(self) -> None:
        self.copy = backup(self.cluster.store)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    made = Store("sqlite://")
    made.upgrade()
    yield made
    made.close()


def thrown(seed: int) -> Scenario:
    scenario = throw(seed)
    deeds, not_both = (Deed.FETCH, Deed.BY_HAND), (Fault.WIPED, Fault.PUT_BACK)
    events = [
        each
        for each in scenario.events
        if (each.what in deeds if isinstance(each.what, Deed) else each.what not in not_both)
    ]
    jobs = [replace(job, at=0.0) for job in scenario.jobs]
    return replace(scenario, events=tuple(events), jobs=tuple(jobs))


def is_forgotten(complaint: Complaint) -> bool:
    """Whether it is about what only SQL knew."""
    text = complaint.text
    only = text.endswith((FORGOTTEN, OF_THE_ONE_BEFORE, *AUDITED)) or text.startswith(LISTS)
    return complaint.kind in ONLY_SQL_KNEW or only


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_begins_twice_and_all_comes_to_an_end(seed: int, store: Store, tmp_path: Path) -> None:
    scenario, chance = thrown(seed), random.Random(seed)
    stage = Theater(scenario, tmp_path, store)
    kept = chance.uniform(2, scenario.lasts - TOLD - 10)
    later = sorted(chance.uniform(kept + TOLD, scenario.lasts - 5) for _ in range(chance.choice([1, 1, 2])))
    stage.put_back_at(kept, *later)
    history = stage.play()
    found = judge(history, stage.cluster, stage.people)
    assert [each for each in found if not is_forgotten(each)] == []
