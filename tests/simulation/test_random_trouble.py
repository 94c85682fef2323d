"""Whole fleets through minutes of random trouble, each from a seed, which is the test's parameter."""

import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from support import fakes
from support.fakes import BEGIN, Trouble
from support.fleet import Fleet
from support.promise import blank, complaints

from cronkeeper.common.errors import Conflict
from cronkeeper.common.model import Artifact, CatchUp, Concurrency, Job, JobType, Run, RunState
from cronkeeper.common.store.store import Store

T = TypeVar("T")

NODES = ("alpha", "beta", "gamma")
MINUTES = 8
HEALING = 180.0
"""Seconds in which everything must be as it should again."""
SEEDS = range(40)
SCRIPT = Artifact("ab" * 32, "job.sh", 3)
POLICIES: list[dict[str, object]] = [
    {},
    {"concurrency": Concurrency.ALLOW},
    {"concurrency": Concurrency.REPLACE},
    {"catch_up": CatchUp.ALL},
    {"catch_up": CatchUp.ALL, "concurrency": Concurrency.ALLOW},
]
A_SCRIPT = {"type": JobType.SCRIPT, "command": None}


class Chaos:
    """One fleet, and what befalls it."""

    def __init__(self, seed: int, folder: Path, store: Store) -> None:
        self.random = random.Random(seed)
        self.trouble = Trouble()
        kinds = dict.fromkeys(("leader", "worker", "api"), self.trouble)
        self.fleet = Fleet(folder, blank(store), NODES, kinds)
        self.fleet.lead("second")
        self.rate = self.random.choice([0.0, 0.02, 0.1])
        self.broken: dict[str, Callable[[], None]] = {}
        for machine in self.fleet.machines.values():
            machine.run_seconds = self.random.choice([1, 20, 90])
            machine.max_running = self.random.choice([1, 2, 1000])
            self.fleet.restart(machine.name)
        kinds_of_job = [*({} for _ in range(3)), {"artifact": SCRIPT, **A_SCRIPT}]
        self.jobs = [
            self.fleet.submit(schedule="* * * * *", **kind, **self.random.choice(POLICIES))
            for kind in kinds_of_job
        ]
        self.removed: set[int] = set()
        self.fleet.go(3)

    def bring(self, call: str, carry_out: Callable[[], T]) -> T:
        """To some calls."""
        if self.random.random() >= self.rate:
            return carry_out()
        kinds = [fakes.lose_call, fakes.lose_reply]
        if call != "report":
            kinds += [fakes.crash_before, fakes.crash_after]
        return self.random.choice(kinds)(call, carry_out)

    def play(self) -> None:
        self.trouble.always(self.bring)
        end = self.fleet.time.seconds + 60 * MINUTES
        while self.fleet.time.seconds < end:
            self.random.choice(self.DEEDS)(self)
            self.fleet.go(self.random.choice([0.1, 1, 5, 15, 30]))
        self.trouble.disarm()
        self.fetch()
        self.let_go()
        for node in NODES:
            self.fleet.undrain(node)
        for name in list(self.broken):
            self.broken.pop(name)()
        for machine in self.fleet.machines.values():
            machine.run_seconds = 1
        self.fleet.go(HEALING + 60 - self.fleet.time.now.second + 40)

    def ask(self) -> None:
        try:
            self.fleet.request(self.random.choice(self.jobs))
        except Conflict:
            return

    def edit(self) -> None:
        job = self.fleet.job(self.random.choice(self.jobs))
        if job.ended_at is None:
            self.fleet.edit(job)

    def send(self) -> None:
        """A job is to be on another node, on any, or on one with a label that none has."""
        job = self.fleet.job(self.random.choice(self.jobs))
        if job.ended_at is None:
            requires = self.random.choice([{}, {}, {"disk": "ssd"}])
            self.fleet.change(job, node=self.random.choice([*NODES, None]), requires=requires)

    def let_go(self) -> None:
        """Every job may be anywhere."""
        for job in self.jobs:
            if self.fleet.job(job).ended_at is None:
                self.fleet.change(job, node=None, requires={})

    def remove(self) -> None:
        if len(self.removed) < 2 and self.random.random() < 0.2:
            job = self.random.choice(self.jobs)
            self.fleet.remove(job)
            self.removed.add(job.id)

    def power_off(self) -> None:
        node = self.one_of(NODES)
        if node is not None:
            self.fleet.power_off(node)
            self.broken[node] = lambda: self.fleet.work(node)

    def cut(self) -> None:
        node = self.one_of(NODES)
        if node is not None:
            self.fleet.daemons[node].tree.disconnect()
            self.broken[node] = lambda: self.reconnect(node)

    def pause(self) -> None:
        """A daemon stands still, as on a frozen machine, and its session runs out or not."""
        name = self.one_of((*NODES, "first", "second"))
        if name is None:
            return
        parts = [part for part in (name, f"{name}'s reporter") if part in self.fleet.loops]
        loops = {part: self.fleet.loops.pop(part) for part in parts}
        self.fleet.daemons[name].tree.disconnect()

        def go_on() -> None:
            self.fleet.loops |= loops
            self.reconnect(name)

        self.broken[name] = go_on

    def silence(self) -> None:
        """A node's reports do not get through."""
        node = self.one_of(NODES)
        if node is None:
            return
        loop = self.fleet.loops.pop(f"{node}'s reporter")

        def speak() -> None:
            self.fleet.loops.setdefault(f"{node}'s reporter", loop)

        self.broken[node] = speak

    def mend(self) -> None:
        if self.broken:
            self.broken.pop(self.random.choice(sorted(self.broken)))()

    def depose(self) -> None:
        """The leader's session ends, and it does not know that yet."""
        leader = self.random.choice(["first", "second"])
        self.fleet.server.expire(self.fleet.daemons[leader].tree.session().id)

    def drain(self) -> None:
        """A node is drained, or undrained again: never all of them."""
        self.fleet.drain(self.random.choice(NODES[1:]))
        self.fleet.undrain(self.random.choice(NODES[1:]))

    def fetch(self) -> None:
        """The script comes to the nodes."""
        self.fleet.files.here[SCRIPT.sha256] = Path("script")

    def one_of(self, names: tuple[str, ...]) -> str | None:
        """One that is not broken yet."""
        whole = [name for name in names if name not in self.broken]
        return self.random.choice(whole) if whole else None

    def reconnect(self, name: str) -> None:
        """Heal a link, unless the daemon was started anew meanwhile."""
        tree = self.fleet.daemons[name].tree
        if not tree._connected:
            tree.reconnect()

    DEEDS = (ask, edit, send, remove, power_off, cut, pause, silence, mend, mend, mend, depose, fetch, drain)


@pytest.mark.parametrize("seed", SEEDS)
def test_through_random_trouble_no_tick_is_doubled_and_each_is_accounted_for(
    seed: int, store: Store, tmp_path: Path
) -> None:
    chaos = Chaos(seed, tmp_path, store)
    chaos.play()
    fleet = chaos.fleet
    assert [run_id for run_id, count in Counter(fleet.starts()).items() if count > 1] == []
    assert complaints(fleet) == []
    assert all(machine.crowd <= machine.max_running for machine in fleet.machines.values())
    for job in chaos.jobs:
        if job.id not in chaos.removed:
            assert unaccounted(fleet, job) == []


def unaccounted(fleet: Fleet, job: Job) -> list[datetime]:
    """The ticks of the job that SQL says nothing of."""
    runs = [run for run in fleet.runs().values() if run.job_id == job.id and run.tick is not None]
    covered = [span(run) for run in runs]
    due = [BEGIN + timedelta(seconds=30 + 60 * n) for n in range(60)]
    return [
        tick
        for tick in due
        if tick <= fleet.time.now and not any(first <= tick <= last for first, last in covered)
    ]


def span(run: Run) -> tuple[datetime, datetime]:
    """The ticks that a run, or a skip, speaks of."""
    assert run.tick is not None
    told = re.search(r"ticks from (\S+) to", str(run.reason)) if run.state is RunState.SKIPPED else None
    return (datetime.fromisoformat(told.group(1)) if told is not None else run.tick), run.tick
