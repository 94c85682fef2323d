"""Adds to a scenario what chance alone brings about too rarely, aimed at the moment at which it counts.

Each thing has dice of its own, so that one thing more leaves all others as they were.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from simulation.scenario import Event, Fault, JobPlan, Scenario, Strike

SECONDS = ("5,25,45 * * * * *", "*/15 * * * * *", "20 1-59/2 * * * *", "@every 25s", "@every 1m10s")
AFTER_CLAIM = (
    Strike.LOSE_REPLY,
    Strike.LOSE_REPLY,
    Strike.LOSE_CALL,
    Strike.CRASH_AFTER,
    Strike.SLOW_REPLY,
    Strike.STOP_AFTER,
)
AT_START = (Strike.SLOW_CALL, Strike.SLOW_REPLY, Strike.STOP_BEFORE, Strike.STOP_AFTER, Strike.CRASH_AFTER)
DURING_RUN = (
    Fault.CLOCK,
    Fault.SILENCE,
    Fault.DEAF,
    Fault.DISK_FULL,
    Fault.EXPIRED,
    Fault.DRIFT,
    Fault.RESTART,
    Fault.SUSPEND,
    Fault.NO_GUARD,
)
AT_ONCE = (Fault.EXPIRED, Fault.RESTART)
NEVER = 9999.0


def aim(scenario: Scenario) -> Scenario:
    """The scenario with more in it."""
    jobs = tuple(_by_the_second(scenario, job) for job in scenario.jobs)
    events = [*scenario.events, *_at_claims(scenario), *_at_starts(scenario), *_at_runs(scenario)]
    events += [*_far_clock(scenario), *_forgotten(scenario)]
    return replace(scenario, jobs=jobs, events=tuple(sorted(events, key=lambda event: event.at)))


class _Dice(Random):
    def __init__(self, scenario: Scenario, what: str) -> None:
        super().__init__(f"{scenario.seed} {what}")
        self._scenario = scenario

    def node(self) -> str:
        return self.choice(self._scenario.nodes).name

    def minute(self) -> float:
        """A full one, when ticks are due."""
        return 30.0 + 60 * self.randrange(int(self._scenario.lasts // 60))

    def time(self, first: float, last: float) -> float:
        return round(self.uniform(first, last), 2)


def _by_the_second(scenario: Scenario, job: JobPlan) -> JobPlan:
    """Schedules that cron does not know."""
    dice = _Dice(scenario, f"schedule of {job.number}")
    if job.due is not None or dice.random() >= 0.12:
        return job
    asks: dict[str, Any] = job.asks | {"schedule": dice.choice(SECONDS)}
    return replace(job, asks=asks)


def _at_claims(scenario: Scenario) -> Iterator[Event]:
    """A node claims what is due, and does not hear whether it has."""
    dice = _Dice(scenario, "claims")
    if dice.random() < 0.3:
        what = dice.choice(AFTER_CLAIM)
        lasts = 0.0 if what in (Strike.LOSE_REPLY, Strike.LOSE_CALL) else dice.time(0.2, 9)
        at, nth = dice.minute() - 0.5, dice.choice([0, 0, 1])
        yield Event(at=at, what=what, who=dice.node(), calls="commit", nth=nth, lasts=lasts)


def _at_starts(scenario: Scenario) -> Iterator[Event]:
    """A node has claimed what is due, and is about to begin it."""
    dice = _Dice(scenario, "starts")
    if dice.random() < 0.15:
        at, lasts = dice.minute() - 0.5, dice.time(0.3, 9)
        yield Event(at=at, what=dice.choice(AT_START), who=dice.node(), calls="start", lasts=lasts)


def _at_runs(scenario: Scenario) -> Iterator[Event]:
    """A node has just begun something."""
    dice = _Dice(scenario, "runs")
    if dice.random() < 0.25:
        what = dice.choice(DURING_RUN)
        values = {Fault.CLOCK: dice.time(-4, 4), Fault.DRIFT: 1e-2}
        lasts = 0.0 if what in AT_ONCE else dice.time(3, 40)
        value = values.get(what, 0.0)
        yield Event(
            at=dice.minute() + dice.time(0.1, 4), what=what, who=dice.node(), lasts=lasts, value=value
        )


def _far_clock(scenario: Scenario) -> Iterator[Event]:
    """A clock that is not to be believed, for a while around a tick mostly."""
    dice = _Dice(scenario, "clock")
    if dice.random() < 0.15:
        value = dice.choice([-1, 1]) * dice.choice(
            [dice.time(5.5, 60), dice.time(5.5, 60), dice.time(60, 7200)]
        )
        at, lasts = dice.minute() + dice.time(-15, 5), dice.time(2, 60)
        yield Event(at=at, what=Fault.CLOCK, who=dice.node(), lasts=lasts, value=value)


def _forgotten(scenario: Scenario) -> Iterator[Event]:
    """A machine that is off is taken out of the fleet, at once or when its jobs have long gone elsewhere."""
    dice = _Dice(scenario, "forgotten")
    if dice.random() < 0.12:
        at, node = dice.minute() + dice.time(-5, 10), dice.node()
        yield Event(at=at, what=Fault.POWER, who=node, lasts=NEVER)
        yield Event(
            at=round(at + dice.choice([6.1, 6.4, 7.0, 12.0, 30.0]), 2), what=Fault.FORGOTTEN, who=node
        )
