"""Plays a scenario: the fleet is made, everything befalls it, it is healed, and it is judged."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from simulation import faults
from simulation.cluster import Cluster
from simulation.coverage import Cell, cells_of_deed, cells_of_fault, cells_of_strike
from simulation.deeds import People
from simulation.expected import every, named
from simulation.history import Complaint, History
from simulation.judge import judge
from simulation.link import Link
from simulation.record import Recorder
from simulation.scenario import Deed, Event, Fault, Scenario, Strike
from support.fakes import BEGIN
from support.promise import blank

from cronkeeper.common.coordination.tree import Node
from cronkeeper.common.model import Job
from cronkeeper.common.schedule import ONCE
from cronkeeper.common.store.store import Store

QUIET = 6.0
"""Seconds before the end of a history in which nothing is due."""
BEHIND = 60
"""Seconds for which a history goes on at the most where something still goes on."""
SETTLING = 75.0
"""Seconds, besides `run_lease`, after which a fleet that nothing troubles any more must be as it should."""
LAST_SECOND = 40
"""Of a minute, at which a history ends: what was due is done, and nothing is about to be."""
OF_THE_DEAD = (Fault.CLOCK, Fault.DRIFT, Fault.FORGOTTEN)
"""What befalls machines whose daemons are down, too."""
MEMORY = Path("/dev/shm")
NAME = "cronkeeper-simulation-"
"""What the folder of a play is called, with the process that plays it behind: see `campaign.sweep`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario: what happened, what was wrong with it, and what it put to the test."""

    history: History | None
    """None where the product broke off with an error, or the judge did."""
    complaints: tuple[Complaint, ...]
    cells: Counter[Cell]


class Stage:
    """One play of one scenario."""

    def __init__(self, scenario: Scenario, folder: Path, store: Store) -> None:
        nodes = [each.name for each in scenario.nodes]
        self.scenario = scenario
        self.cells: Counter[Cell] = Counter()
        self.cluster = Cluster(folder, blank(store), nodes, list(scenario.managers), scenario.run_lease)
        self.people = People(self.cluster, {plan.number: plan for plan in scenario.jobs})
        self.recorder = Recorder(self.cluster)
        self.cluster.note = self._struck
        self._backups: list[dict[str, Node]] = []
        self._mends: dict[int, Callable[[], None]] = {}
        for plan in scenario.nodes:
            machine = self.cluster.machines[plan.name]
            machine.max_running, machine.labels = plan.max_running, dict(plan.labels)
            machine.lasts, machine.exits = self.people.lasts, self.people.exits
            machine.stubborn = plan.stubborn
            self.cluster.crash(plan.name, 0.0)

    def play(self) -> History:
        """Returns what happened."""
        begin = self.cluster.time.seconds
        for plan in self.scenario.jobs:
            self.cluster.at(begin + plan.at, partial(self.people.send_in, plan))
        for event in self.scenario.events:
            if event.what is Fault.PUT_BACK:
                self.cluster.at(begin + event.at - event.value, self._back_up)
            self.cluster.at(begin + event.at, partial(self._happen, event))
        self.cluster.heal_at = begin + self.scenario.lasts
        self.cluster.at(self.cluster.heal_at, self._heal)
        self.cluster.go(self.scenario.lasts)
        self.cluster.go(self._rest())
        for _ in range(BEHIND):
            if self._is_quiet() and not self._is_due_before(0.0):
                break
            self.cluster.go(1.0)
        return self.recorder.history(self.people)

    def _happen(self, event: Event) -> None:
        if self.recorder.healed is not None:
            return
        if isinstance(event.what, Strike):
            faults.arm(self.cluster, event)
        elif event.what in (Fault.WIPED, Fault.PUT_BACK):
            self.recorder.tree_lost()
            self.cluster.lose(self._backups.pop(0) if event.what is Fault.PUT_BACK else None)
        elif isinstance(event.what, Deed):
            self.cells.update(cells_of_deed(self.people, event))
            self.people.do(event)
        else:
            self._begin(event)

    def _back_up(self) -> None:
        self._backups.append(self.cluster.copy_tree())

    def _begin(self, event: Event) -> None:
        if event.what not in OF_THE_DEAD and event.who not in self.cluster.loops:
            return
        cells = list(cells_of_fault(self.people, event))
        mend = faults.begin(self.cluster, event)
        if mend is not None or event.what not in faults.REFUSED:
            self.recorder.befell(event)
            self.cells.update(cells)
        if mend is not None:
            number = len(self._mends)
            self._mends[number] = mend
            self.cluster.at(self.cluster.time.seconds + event.lasts, partial(self._mend, number))

    def _mend(self, number: int) -> None:
        mend = self._mends[number]
        self._mends[number] = _nothing
        mend()

    def _struck(self, link: Link, call: str, event: Event) -> None:
        self.recorder.befell(event)
        self.cells.update(cells_of_strike(self.people, link, call, event))

    def _heal(self) -> None:
        """From now on nothing is in anyone's way."""
        cluster = self.cluster
        self.recorder.healed = cluster.time.seconds
        for way in cluster.ways.values():
            way.strikes.clear()
        for number in list(self._mends):
            self._mend(number)
        for name in list(cluster.paused):
            cluster.resume(name, cluster.daemons[name].tree)
        for name in list(cluster.down):
            cluster.start(name)
        self.people.let_go()

    def _rest(self) -> float:
        """Until when to look on."""
        least = SETTLING + self.scenario.run_lease
        second = (self.cluster.time.now.timestamp() + least) % 60
        least += (LAST_SECOND - second) % 60
        return least + next((more for more in range(75) if not self._is_due_before(least + more)), 0)

    def _is_due_before(self, rest: float) -> bool:
        """Whether something is due just before the end."""
        end = self.cluster.time.now + timedelta(seconds=rest)
        return any(_is_due(job, end) for job in self.people.jobs.values() if job.schedule not in (None, ONCE))

    def _is_quiet(self) -> bool:
        """Whether nothing goes on: not even what is still behind with ticks that wait for each other."""
        machines, just_now = self.cluster.machines.values(), self.cluster.time.seconds - QUIET
        ended = (each.ended for one in machines for each in one.commands if each.ended is not None)
        return not any(one.running for one in machines) and max(ended, default=0.0) < just_now


def _is_due(job: Job, end: datetime) -> bool:
    assert job.schedule is not None
    if job.schedule.startswith("@every"):
        since = (end - job.effective_from.replace(microsecond=0)).total_seconds()
        return since % every(job.schedule) < QUIET
    return bool(named(job.schedule, "UTC", end - timedelta(seconds=QUIET), end))


def play(scenario: Scenario, store: Store) -> Outcome:
    """From the beginning to the verdict; the store is emptied first."""
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        stage = Stage(scenario, folder, store)
        try:
            history = stage.play()
            found = tuple(judge(history, stage.cluster, stage.people))
        except (
            Exception
        ) as error:  # of the judge too: it looks at the fleet, of which something may be missing
            wrong = Complaint(kind="error", job_id=0, tick=None, text=f"{type(error).__name__}: {error}")
            return Outcome(None, (wrong,), stage.cells)
        return Outcome(history, found, stage.cells)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nothing() -> None:
    """It is mended."""


assert BEGIN.second == 30, "the dice count on it"
