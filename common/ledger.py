"""The ledger: what became of every tick that was expected. Pure.

What became of a tick is told by the run under its name, or by a row for a range of skipped ticks, which has the
name of the last. What a tick of which nothing tells is, say those after it: a job's ticks are dealt with in order.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cronkeeper.common.expected import Period
from cronkeeper.common.model import ONLY, Run, RunState, replace
from cronkeeper.common.settings import Fleet

REPORTS = timedelta(minutes=10)
"""How long reports may be under way."""


class Result(StrEnum):
    """What became of a tick."""

    RAN = "ran"
    LATE = "late"
    """It ran, and began later than `punctual` after it was due."""
    SKIPPED = "skipped"
    """It did not run and will not; the reason is known."""
    LOST = "lost"
    OPEN = "open"
    """It may still come, or its run goes on."""
    UNACCOUNTED = "unaccounted"
    """A hole: later ticks are accounted for since long, and of this one nothing tells."""
    UNKNOWN = "unknown"
    """Its run may have been removed as old; or SQL was put back to a backup, and has forgotten it (the reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is asked for: the ticks from `begin` to before `end`, as they stand at `now`."""

    begin: datetime
    end: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A time, from the one instant to the other."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How late is late, and how long a tick is waited for once it should be known what became of it."""

    punctual: timedelta = timedelta(seconds=Fleet().punctual)
    patience: timedelta = timedelta(minutes=11)

    @classmethod
    def of(cls, fleet: Fleet) -> "Rules":
        """A run of a dead node is settled after `run_lease`, and reports may be under way for some minutes."""
        return cls(
            punctual=timedelta(seconds=fleet.punctual),
            patience=timedelta(seconds=fleet.run_lease) + REPORTS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tick. `state` and what follows are of its newest run, where there is one."""

    tick: datetime
    result: Result
    expected: bool = True
    """False for a run of a tick that no schedule of the job made due, as far as is known now."""
    lateness: float | None = None
    """Seconds from the tick to the start of the first of its attempts that began."""
    reason: str | None = None
    run_id: str | None = None
    state: RunState | None = None
    started_at: datetime | None = None
    node: str | None = None
    copy: int = ONLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Of the ticks that ran, in seconds."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How many ticks were expected, how many of them had which result, and how many runs were not expected."""

    expected: int
    results: dict[Result, int] = field(default_factory=dict)
    unexpected: int = 0
    lateness: Lateness | None = None
    """None where none ran."""


PUT_BACK = "SQL was put back to a backup"
"""Why nothing is known of a tick."""
_RANGE = re.compile(r"\w+: the ticks from (\S+)Z to \S+Z")
"""How 0.1.0 told of a range."""


def ledger(
    due: Sequence[tuple[datetime, Period]],
    runs: Sequence[Run],
    window: Window,
    rules: Rules,
    forgotten: datetime | None = None,
    unvouched: Sequence[Span] = (),
) -> list[Entry]:
    """What became of the ticks that are `due`, as `expected` gave them, and of those that ran without; in order.

    `runs` are those of ticks in the window and the next one after it, in any order. `forgotten` is the newest
    tick of which the run was removed; of what happened in the times `unvouched` only a part is known.
    """
    told = _Told(runs)
    entries = []
    for tick, period in reversed(due):
        told.go_back_to(tick)
        run = told.of(tick)
        if run is not None:
            entries.append(_of_run(tick, run, told, rules))
        elif any(_was_open(tick, period, told, span) for span in unvouched):
            entries.append(Entry(tick=tick, result=Result.UNKNOWN, reason=PUT_BACK))
        else:
            entries.append(_of_none(tick, period, told, window.now - rules.patience, forgotten))
    entries += _unexpected({_name(tick) for tick, _ in due}, told, window, rules)
    return sorted(entries, key=lambda entry: entry.tick)


def _unexpected(due: Collection[datetime], told: "_Told", window: Window, rules: Rules) -> Iterable[Entry]:
    for name, run in told.newest.items():
        inside = run.tick is not None and window.begin <= run.tick < window.end
        if run.tick is not None and inside and name not in due and run.state is not RunState.SKIPPED:
            yield replace(_of_run(run.tick, run, told, rules), expected=False)


class _Told:
    """What is told of ticks, gone through from the newest to the oldest."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.newest: dict[datetime, Run] = {}
        """Of each tick the run of its last attempt; one that did not begin counts less, and one skipped least."""
        self.began: dict[datetime, datetime] = {}
        """When the first of each tick's attempts began."""
        for run in sorted(
            runs, key=lambda run: (run.state is not RunState.SKIPPED, not _idle(run), run.attempt)
        ):
            if run.tick is not None:
                self.newest[_name(run.tick)] = run
                if run.started_at is not None:
                    first = self.began.get(_name(run.tick), run.started_at)
                    self.began[_name(run.tick)] = min(first, run.started_at)
        self._rest = sorted((first_of(run), name, run) for name, run in self.newest.items() if run.tick)
        self.later: datetime | None = None
        """The first tick that is known after the one that was gone back to."""
        self.later_since: datetime | None = None
        """Since when one of those after it is known."""

    def go_back_to(self, tick: datetime) -> None:
        while self._rest and self._rest[-1][0] > tick:
            first, _, run = self._rest.pop()
            self.later = first
            self.later_since = min(self.later_since or run.created_at, run.created_at)

    def of(self, tick: datetime) -> Run | None:
        """The run of a tick that was gone back to, or the row of the range that it is in."""
        run = self.newest.get(_name(tick))
        if run is None and self._rest and self._rest[-1][1] > tick:
            run = self._rest[-1][2]
        return run


def first_of(run: Run) -> datetime:
    """The first of the ticks that the run's row tells of."""
    assert run.tick is not None
    if run.first_tick is not None:
        return _name(run.first_tick)
    if run.state is RunState.SKIPPED and run.reason is not None and (old := _RANGE.match(run.reason)):
        return datetime.fromisoformat(old[1]).replace(tzinfo=UTC)
    return _name(run.tick)


def _name(tick: datetime) -> datetime:
    """The second that the run of a tick is named after."""
    return tick.replace(microsecond=0)


def _idle(run: Run) -> bool:
    """Whether it failed or was canceled before it began."""
    return run.started_at is None and run.state in (RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELED)


def _of_run(tick: datetime, run: Run, told: _Told, rules: Rules) -> Entry:
    began = told.began.get(_name(tick))
    lateness = None if began is None else max(0.0, (began - tick).total_seconds())
    result, reason = Result.RAN, run.reason
    if not run.state.final:
        result = Result.OPEN
    elif run.state is RunState.LOST:
        result = Result.LOST
    elif run.state is RunState.SKIPPED:
        result, reason = Result.SKIPPED, None if reason is None else reason.partition(":")[0]
    elif _idle(run):
        result = Result.SKIPPED
    elif lateness is not None and lateness > rules.punctual.total_seconds():
        result = Result.LATE
    return Entry(
        tick=tick,
        result=result,
        lateness=lateness,
        reason=reason,
        run_id=run.id,
        state=run.state,
        started_at=run.started_at,
        node=run.node,
    )


def _was_open(tick: datetime, period: Period, told: _Told, span: Span) -> bool:
    """Whether it may have been dealt with in that time: when it began, it was to come or still waited."""
    over = period.until is not None and period.until <= span.since
    dealt_with = told.later_since is not None and told.later_since < span.since
    return tick < span.until and not over and not dealt_with


def _of_none(
    tick: datetime, period: Period, told: _Told, settled: datetime, forgotten: datetime | None
) -> Entry:
    """A tick of which nothing tells. What is known since before `settled` is not merely slow to be told."""
    if forgotten is not None and tick <= forgotten:
        return Entry(tick=tick, result=Result.UNKNOWN)
    over = period.until is not None and (told.later is None or told.later >= period.until)
    if over:
        # Nothing of the period was dealt with after this tick: it waited when the period ended.
        if period.until is not None and period.until > settled:
            return Entry(tick=tick, result=Result.OPEN)
        if period.reason is not None:
            return Entry(tick=tick, result=Result.SKIPPED, reason=period.reason)
        return Entry(tick=tick, result=Result.UNACCOUNTED)
    # Ticks are dealt with in order. While no later one is known, the job is what waits.
    if told.later_since is None or told.later_since > settled:
        return Entry(tick=tick, result=Result.OPEN)
    return Entry(tick=tick, result=Result.UNACCOUNTED)


def summary(entries: Sequence[Entry]) -> Summary:
    """The entries, counted."""
    counted = [entry for entry in entries if entry.expected]
    ran = sorted(
        entry.lateness
        for entry in counted
        if entry.lateness is not None and entry.result in (Result.RAN, Result.LATE)
    )
    return Summary(
        expected=len(counted),
        results={result: sum(entry.result is result for entry in counted) for result in Result},
        unexpected=len(entries) - len(counted),
        lateness=Lateness(p50=_percentile(ran, 50), p99=_percentile(ran, 99), max=ran[-1]) if ran else None,
    )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
