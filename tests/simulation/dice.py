"""Throws a scenario from a seed. Nothing is drawn from chance anywhere else."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulation.aimed import aim
from simulation.scenario import OF_NODES, Deed, Event, Fault, JobPlan, NodePlan, Scenario, Strike

MINUTES = (2.0, 2.0, 2.0, 2.5, 3.0)
RUN_LEASES = (20.0, 20.0, 20.0, 20.0, 60.0)
POLICIES: tuple[dict[str, Any], ...] = (
    {"concurrency": "forbid", "catch_up": "latest"},
    {"concurrency": "allow", "catch_up": "latest"},
    {"concurrency": "replace", "catch_up": "latest"},
    {"concurrency": "forbid", "catch_up": "all"},
    {"concurrency": "allow", "catch_up": "all"},
)
SCHEDULES = ("* * * * *", "* * * * *", "*/2 * * * *", "1-59/2 * * * *")
LENGTHS = ((1.0,), (2.0, 20.0), (5.0, 65.0), (25.0,), (45.0, 100.0, 3.0))
RETRIES: tuple[dict[str, Any], ...] = (
    {"attempts": 1, "delay": 1.0},
    {"attempts": 2, "delay": 3.0, "backoff": 2.0},
    {"attempts": 2, "delay": 5.0, "backoff": 1.0, "jitter": 4.0},
)
LABEL = {"disk": "ssd"}
CALLS_OF = {
    "worker": (
        "",
        "commit",
        "commit",
        "commit",
        "sync",
        "sync",
        "start",
        "start",
        "get_many",
        "children",
        "get",
    ),
    "reporter": ("report",),
    "leader": (
        "",
        "commit",
        "commit",
        "commit",
        "sql",
        "sql",
        "sync",
        "get_many",
        "get_many",
        "children",
        "children_many",
    ),
}
OF_ONE = tuple(each for each in Fault if each not in (Fault.WIPED, Fault.PUT_BACK, Fault.FORGOTTEN))
CUTS = (Fault.CUT, Fault.CUT, Fault.CUT_IN, Fault.CUT_OUT, Fault.FROZEN, Fault.PAUSE)
LOST_TREES = 0.12
"""The share of fleets whose ZooKeeper is lost, or put back."""
ALONE = 0.15
"""The share of fleets in which a job goes on where its node is cut off."""
PAUSED = 0.2
"""The share of fleets in which an operator pauses nodes."""
COPIES = 0.08
"""The share of jobs that are on every node."""
MAX_STEP = 4.0
"""Seconds by which a clock is set at most; `aimed` sets some further."""


def throw(seed: int, *, max_step: float = MAX_STEP) -> Scenario:
    """The scenario of that seed."""
    return aim(_Dice(seed, max_step).scenario())


class _Dice:
    def __init__(self, seed: int, max_step: float) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.max_step = max_step
        self.names = ("alpha", "beta", "gamma", "delta")[: self.random.choice([2, 2, 3, 3, 4])]
        self.managers = ("first", "second", "third")[: self.random.choice([2, 2, 3])]
        self.lasts = 60.0 * self.random.choice(MINUTES)
        self.fetched: dict[int, float] = {}
        """When the artifacts of jobs come to all nodes, where that is no chance."""
        self.jobs = tuple(self._job(number) for number in range(1, self.random.choice([2, 3, 3, 4]) + 1))

    def scenario(self) -> Scenario:
        chance = self.random
        nodes = tuple(
            NodePlan(
                name=name,
                max_running=chance.choice([1, 2, 1000, 1000]),
                labels=LABEL if chance.random() < 0.4 else {},
                stubborn=chance.random() < 0.15,
            )
            for name in self.names
        )
        events = [event for _ in range(chance.choice([3, 4, 6, 8, 9, 10])) for event in self._trouble()]
        events += [self._deed() for _ in range(chance.choice([0, 1, 2, 4]))]
        events += self._fetches()
        events += self._go_on_alone()
        run_lease = chance.choice(RUN_LEASES)
        if chance.random() < 0.15:
            events += self._return()
        stopping = [job for job in self.jobs if {"on_node_loss", "when_isolated"} & job.asks.keys()]
        if stopping and chance.random() < 0.3:
            events.append(self._isolation())
        if chance.random() < LOST_TREES:
            events.append(self._lost_tree())
        events += self._pauses()
        return Scenario(
            seed=self.seed,
            nodes=nodes,
            managers=self.managers,
            jobs=self.jobs,
            events=tuple(sorted(events, key=lambda event: event.at)),
            lasts=self.lasts,
            run_lease=run_lease,
        )

    def _job(self, number: int) -> JobPlan:
        chance = self.random
        asks = dict(chance.choice(POLICIES))
        at = 0.0 if chance.random() < 0.7 else self._time(0, self.lasts / 2)
        due = None
        if chance.random() < 0.12:
            asks |= {"schedule": "@once"}
            due = self._time(at + 0.1, self.lasts)
        else:
            asks["schedule"] = chance.choice(SCHEDULES)
        if chance.random() < 0.2:
            asks["timeout"] = float(chance.choice([3, 15]))
            asks["grace"] = 5.0
        if chance.random() < 0.2:
            asks["max_lateness"] = float(chance.choice([45, 70, 130]))
        asks |= self._place() if chance.random() < 0.2 else {}
        asks |= self._attempts()
        asks |= self._copies(number, asks)
        return JobPlan(
            number=number,
            at=at,
            asks=asks,
            due=due,
            artifact=chance.random() < 0.3,
            lasts=chance.choice(LENGTHS),
            fails=chance.choice([0, 30, 70]),
        )

    def _attempts(self) -> dict[str, Any]:
        """What is tried again, and what becomes of runs on a node that is cut off."""
        chance = self.random
        asks: dict[str, Any] = {"retry": dict(chance.choice(RETRIES))} if chance.random() < 0.35 else {}
        if chance.random() < 0.35:
            asks["on_node_loss"] = "rerun"
        if chance.random() < 0.25:
            asks["when_isolated"] = "stop"
        return asks

    def _go_on_alone(self) -> list[Event]:
        """One of the jobs goes on by itself where its node is cut off; that comes too. By dice of its own."""
        chance = random.Random(f"alone {self.seed}")
        if chance.random() >= ALONE:
            return []
        number = chance.choice(self.jobs).number
        node = chance.choice(self.names)
        asks = {"node": node, "requires": {}, "when_isolated": "run", "on_node_loss": "fail", "copies": "1"}
        self.jobs = tuple(
            replace(job, asks=job.asks | asks) if job.number == number else job for job in self.jobs
        )
        what = chance.choice([Fault.CUT, Fault.CUT, Fault.FROZEN, Fault.CUT_IN, Fault.CUT_OUT])
        at, lasts = round(chance.uniform(5, self.lasts / 2), 2), round(chance.uniform(10, 100), 2)
        return [Event(at=at, what=what, who=node, lasts=lasts)]

    def _copies(self, number: int, asks: dict[str, Any]) -> dict[str, Any]:
        """Whether each node has a copy: drawn apart from all else, so that other seeds are what they were."""
        apart = random.Random(f"{self.seed} {number}")
        if asks["schedule"] == "@once" or apart.random() >= COPIES:
            return {}
        return {"copies": "all", "node": None}

    def _place(self) -> dict[str, Any]:
        """Where a job is to be: on one node, on one of a kind, or anywhere."""
        node = self.random.choice([*self.names, None])
        return {"node": node, "requires": dict(LABEL) if node is None and self.random.random() < 0.7 else {}}

    def _time(self, first: float, last: float) -> float:
        return round(self.random.uniform(first, last), 2)

    def _moment(self) -> float:
        """Any; or one near to a full minute, when ticks are due. The fleet begins half a minute before one."""
        if self.random.random() < 0.4:
            return self._time(2, self.lasts - 5)
        minute = 30 + 60 * self.random.randrange(int(self.lasts // 60))
        return max(2.0, round(minute + self.random.choice([-1, 1, 1]) * self.random.random() ** 2 * 12, 2))

    def _trouble(self) -> list[Event]:
        """One thing, or two at once."""
        at = self._moment()
        pick = self.random.random()
        if pick < 0.5:
            events = [self._strike(at)]
        elif pick < 0.8:
            events = [self._fault(at)]
        elif pick < 0.88 and any(job.artifact for job in self.jobs):
            events = self._late_artifact()
        else:
            events = self._storm(at)
        if self.random.random() < 0.25:
            later = round(at + self.random.choice([0.0, 0.5, 3.0, 7.0]), 2)
            events.append(self._strike(later) if self.random.random() < 0.5 else self._fault(later))
        return events

    def _strike(self, at: float, who: str | None = None) -> Event:
        chance = self.random
        if who is None:
            who = chance.choice([*self.names, *self.managers, *self.managers])
        kind = "leader" if who in self.managers else chance.choice(["worker", "worker", "reporter"])
        calls = chance.choice(CALLS_OF[kind])
        kinds = (
            list(Strike) if kind == "leader" else [each for each in Strike if each is not Strike.TAKE_OVER]
        )
        if calls == "start":
            kinds = [each for each in kinds if each not in (Strike.LOSE_CALL, Strike.LOSE_REPLY)]
        what = chance.choice(kinds)
        return Event(
            at=at,
            what=what,
            who=who,
            calls=calls,
            nth=int((2 if calls == "start" else 8) * chance.random() ** 2),
            lasts=self._wait(what),
        )

    def _wait(self, what: Strike) -> float:
        if what in (Strike.CRASH_BEFORE, Strike.CRASH_AFTER):
            return self.random.choice([0.0, 0.2, 3.0, 10.0])
        if what in (Strike.SLOW_CALL, Strike.SLOW_REPLY):
            return self._time(0.3, 7.0)
        if what in (Strike.STOP_BEFORE, Strike.STOP_AFTER):
            return self.random.choice([2.0, 5.0, self._time(6, 9), self._time(6, 9), self._time(9, 40)])
        return 0.0

    def _fault(self, at: float, what: Fault | None = None, who: str | None = None) -> Event:
        chance = self.random
        if who is None:
            who = chance.choice([*self.names, *self.names, *self.managers])
        if what is None:
            what = chance.choice([*CUTS, *OF_ONE] if who in self.names else self._of_managers())
        long = {Fault.CLOCK: 90.0, Fault.DRIFT: 120.0, Fault.SILENCE: 100.0, Fault.DISK_FULL: 80.0}
        lasts = chance.choice([self._time(0.5, 6), self._time(5, 15), self._time(10, long.get(what, 60.0))])
        if what in (Fault.RESTART, Fault.EXPIRED):
            lasts = chance.choice([0.0, 0.2, 2.0]) if what is Fault.RESTART else 0.0
        values: dict[Fault, Callable[[], float]] = {
            Fault.CLOCK: lambda: self._time(-self.max_step, self.max_step),
            Fault.DRIFT: lambda: chance.choice([-1, 1]) * chance.choice([1e-4, 1e-3, 1e-2]),
        }
        value = values[what]() if what in values else 0.0
        pattern = tuple(self._delay() for _ in range(7)) if what is Fault.SLOW else ()
        return Event(at=at, what=what, who=who, lasts=lasts, value=value, pattern=pattern)

    def _of_managers(self) -> list[Fault]:
        return [*CUTS, Fault.RESTART, Fault.EXPIRED, Fault.SLOW, Fault.NO_SQL, Fault.CLOCK, Fault.POWER]

    def _delay(self) -> float:
        return self.random.choice([0.0, 0.0, 0.0, 0.3, 1.0, self._time(1, 5)])

    def _storm(self, at: float) -> list[Event]:
        """A node goes for about as long as its session lasts, and just then the managers have trouble too."""
        chance = self.random
        node = chance.choice(self.names)
        gone = chance.choice([Fault.CUT, Fault.PAUSE, Fault.FROZEN, Fault.POWER])
        lasts = self._time(5, 14)
        events = [Event(at=at, what=gone, who=node, lasts=lasts)]
        then = round(at + 6 + self.random.choice([-1.0, 0.0, 0.0, 0.5]), 2)
        for manager in self.managers:
            what = chance.choice([Strike.STOP_BEFORE, Strike.STOP_AFTER, Strike.SLOW_CALL, Strike.TAKE_OVER])
            wait = self._time(3, 12) if what is not Strike.TAKE_OVER else 0.0
            calls = chance.choice(["", "commit", "get_many"])
            nth = chance.randrange(9 if calls == "" else 3)
            events.append(Event(at=then, what=what, who=manager, calls=calls, nth=nth, lasts=wait))
        return events

    def _return(self) -> list[Event]:
        """A node that is cut off while a tick falls due is back just before its jobs are moved, and claims it."""
        minute = 30 + 60 * self.random.randrange(int(self.lasts // 60))
        at = round(minute - self._time(0.5, 5), 2)
        gone = Event(at=at, what=Fault.CUT, who=self.random.choice(self.names), lasts=self._time(6.3, 8))
        then, wait = round(at + 5.9, 2), self._time(2.5, 3.9)
        slow = [
            Event(at=then, what=Strike.SLOW_CALL, who=name, calls="commit", lasts=wait)
            for name in self.managers
        ]
        return [gone, *slow]

    def _isolation(self) -> Event:
        """A node that runs something is cut off for longer than its runs are waited for."""
        minute = 30 + 60 * self.random.randrange(int(self.lasts // 60))
        at = round(minute + self._time(1, 8), 2)
        what = self.random.choice([Fault.CUT, Fault.CUT, Fault.FROZEN, Fault.CUT_IN, Fault.PAUSE])
        return Event(at=at, what=what, who=self.random.choice(self.names), lasts=self._time(30, 60))

    def _lost_tree(self) -> Event:
        """ZooKeeper is wiped, or put back to what a backup had: one of the last minute nobody could tell."""
        if self.random.random() < 0.5:
            return Event(at=self._moment(), what=Fault.WIPED, who="zookeeper")
        at = self._time(75, self.lasts - 5)
        return Event(at=at, what=Fault.PUT_BACK, who="zookeeper", value=self._time(70, at - 2))

    def _late_artifact(self) -> list[Event]:
        """A run is claimed and waits for its artifact; that comes when its node has been gone for a while."""
        chance = self.random
        job = chance.choice([job.number for job in self.jobs if job.artifact])
        at = round(30 + 60 * chance.randrange(int(self.lasts // 60)) + self._time(0.2, 3), 2)
        gone = chance.choice([Fault.CUT, Fault.FROZEN, Fault.FROZEN, Fault.PAUSE])
        events = [Event(at=at, what=gone, who=chance.choice(self.names), lasts=self._time(8, 70))]
        there = round(at + chance.choice([self._time(5.5, 9), self._time(5, 30)]), 2)
        self.fetched[job] = there
        return events

    def _deed(self) -> Event:
        chance = self.random
        job = chance.choice(self.jobs).number
        what = chance.choice([each for each in Deed if each not in OF_NODES])
        if what is Deed.REMOVE and chance.random() < 0.5:
            what = Deed.BY_HAND
        asks: dict[str, Any] = {}
        if what is Deed.EDIT:
            asks = dict(
                chance.choice([*POLICIES, *({"schedule": each} for each in SCHEDULES), {"command": "true"}])
            )
        elif what is Deed.SEND:
            asks = self._place()
        return Event(at=self._moment(), what=what, job=job, asks=asks, heard=chance.random() < 0.8)

    def _pauses(self) -> list[Event]:
        """In some fleets nodes, or all of them, are paused for a while; by dice of their own, so all else stays."""
        chance = random.Random(f"pauses of {self.seed}")
        events: list[Event] = []
        for _ in range(chance.choice([1, 1, 2]) if chance.random() < PAUSED else 0):
            who = chance.choice([*self.names, *self.names, ""])
            at = round(chance.uniform(2, self.lasts - 5), 2)
            events.append(Event(at=at, what=Deed.PAUSE_NODE, who=who))
            end = round(at + chance.choice([chance.uniform(0, 8), chance.uniform(8, 90)]), 2)
            if end < self.lasts - 45:  # what has waited for it may take long; else it ends when all does
                events.append(Event(at=end, what=Deed.RESUME_NODE, who=who))
        return events

    def _fetches(self) -> list[Event]:
        """When the artifacts come to the nodes: before anything is due, or somewhen."""
        return [
            Event(at=self._fetched(job.number), what=Deed.FETCH, who=name, job=job.number)
            for job in self.jobs
            if job.artifact
            for name in self.names
        ]

    def _fetched(self, job: int) -> float:
        if job in self.fetched:
            return self.fetched[job]
        return 0.0 if self.random.random() < 0.6 else self._moment()
