"""A history, sorted out for the rules: one line for each job and copy, and what hindered it.

Instants are seconds since 1970, ticks whole ones: so they stand in the ids of runs.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from math import inf

from simulation.eras import Era, eras
from simulation.history import Away, Execution, History, Shown, Told, Version
from simulation.spans import Span, Spans

STOPPING = {"stop", "rerun"}
OF_THE_LEDGER = ("reports", "sql", "api")
"""What trouble that hinders no tick of a job that stays where it is begins with."""
MANY = 1000
"""So many places are never all taken."""
STAYING = {"clock", "disk_full"}
"""Trouble of a node that takes no job away from it."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of docs/guarantees.md, in seconds."""

    punctual: float
    published: float
    recovery: float
    acknowledged: float
    settled: float
    """From the end of trouble, *recovery* included in that, until the ledger has all of it."""


def instant(moment: datetime | None) -> float:
    """Infinity for what has not come to an end."""
    return inf if moment is None else moment.timestamp()


def may_be_on(version: Version, node: str, labels: dict[str, str]) -> bool:
    """Whether a node will do for a job."""
    return version.node in (None, node) and version.requires.items() <= labels.items()


class Case:
    """The whole history."""

    def __init__(self, history: History) -> None:
        settings = history.settings
        self.history = history
        self.end = instant(history.end)
        self.times = Times(
            punctual=settings.clock_grace + 2,
            published=6.0,
            recovery=2 * settings.session_timeout + 15,
            acknowledged=5.0,
            settled=settings.run_lease + 30,
        )
        self.trouble: dict[str, list[Away]] = defaultdict(list)
        for each in history.trouble:
            self.trouble[each.node].append(each)
        self.any_trouble = Spans(self.hindrance(self.trouble))

    def hindrance(self, names: Iterable[str], *, of_ledger: bool = True) -> list[Span]:
        """When the trouble of these hinders, the time that it takes to recover included."""
        away = [each for name in names for each in self.trouble.get(name, ())]
        away = [each for each in away if of_ledger or not each.what.startswith(OF_THE_LEDGER)]
        return [(instant(each.begin), instant(each.end) + self.times.recovery) for each in away]

    def pauses(self, nodes: Collection[str] | None) -> list[Span]:
        """When any of these nodes was paused, by itself or with the fleet; None: whichever."""
        return [
            (instant(each.begin), instant(each.end))
            for each in self.history.pauses
            if each.node is None or nodes is None or each.node in nodes
        ]

    def skew(self, node: str | None, begin: float, end: float) -> float:
        """By how much the clock of a node, of any where none is given, may have been off when it started things."""
        names = [node] if node is not None else list(self.trouble)
        off = any(self._off(name, begin, end) for name in names)
        return self.history.settings.max_skew if off else 0.0

    def shown_off(self, node: str, begin: float, end: float) -> float:
        """By how much what a node's clock shows may have been off in a span."""
        off = (each.off for each in self._off(node, begin, end))
        return max(self.skew(node, begin, end), *off, 0.0)

    def _off(self, node: str, begin: float, end: float) -> list[Away]:
        clocks = [each for each in self.trouble.get(node, ()) if each.what == "clock"]
        return [each for each in clocks if instant(each.begin) <= end and instant(each.end) >= begin]

    def never_tells(self, node: str) -> bool:
        """Whether a node is not back, or was forgotten."""
        return any(away.what == "forgotten" or away.end is None for away in self.trouble.get(node, ()))

    def was_away(self, node: str, begin: float, end: float) -> bool:
        """Whether something befell a node for which its jobs may have gone to others, and come back."""
        away = [each for each in self.trouble.get(node, ()) if each.what not in STAYING]
        away = [each for each in away if not each.what.startswith(OF_THE_LEDGER)]
        return any(instant(each.begin) <= end and instant(each.end) >= begin for each in away)

    @cached_property
    def full(self) -> dict[str, Spans]:
        """When all places of a node were taken."""
        return {node: Spans(self._full(node, places)) for node, places in self.history.places.items()}

    def _full(self, node: str, places: int) -> list[Span]:
        changes: list[tuple[float, int]] = []
        for each in self.history.executions:
            if each.node == node:
                claimed = instant(each.began)
                if each.tick is not None and self.files(each.job_id, node):
                    claimed = min(claimed, instant(each.tick))
                changes += [(claimed, 1), (instant(each.ended) + self.times.acknowledged, -1)]
        changes.sort()
        count, spans = 0, []
        if places < MANY:  # of a run that never begins nobody sees how long it waits for its file
            came = [there for (_, where), there in self.history.files.items() if where == node]
            free = (self.any_trouble.after(instant(there), self.times.acknowledged) for there in came)
            spans = [(instant(self.history.begin), end) for end in free]
        for (begin, change), (end, _) in pairwise([*changes, (inf, 0)]):
            count += change
            if count >= places:
                spans.append((begin, end))
        return spans

    def files(self, job: int, node: str | None) -> list[Span]:
        """When the file of a job was not there on a node, on any where none is given."""
        return [
            (instant(self.history.begin), instant(there))
            for (of, where), there in self.history.files.items()
            if of == job and node in (None, where)
        ]

    @cached_property
    def lines(self) -> "list[Line]":
        """Every job and copy that there was, or should have been."""
        begun: dict[tuple[int, int], list[Execution]] = defaultdict(list)
        told: dict[tuple[int, int], list[Told]] = defaultdict(list)
        for execution in sorted(self.history.executions, key=lambda each: each.began):
            begun[execution.job_id, execution.copy].append(execution)
        for each in self.history.told:
            told[each.job_id, each.copy].append(each)
        names = {*begun, *told, *self.history.copies}
        names |= {(job, 1) for job in self.history.jobs if all(job != known for known, _ in names)}
        return [
            Line(self, job, copy, self.history.jobs.get(job, ()), begun[job, copy], told[job, copy])
            for job, copy in sorted(names)
        ]


@dataclass
class Line:
    """One copy of one job: what was expected of it, what began, what is told. `begun` is in the order of begins."""

    case: Case
    job: int
    copy: int
    versions: tuple[Version, ...]
    begun: list[Execution]
    told: list[Told]
    _hindrances: dict[str | None, Spans] = field(default_factory=dict)
    _window_ends: dict[int, float] = field(default_factory=dict)

    @cached_property
    def _names(self) -> set[str]:
        """Of a copy on each node: the node's; what was canceled before it began there does not tell it."""
        told = {each.node for each in (*self.begun, *self.told) if each.node is not None}
        return told | ({self.case.history.copies.get((self.job, self.copy))} - {None})  # type: ignore[arg-type]

    @cached_property
    def goes(self) -> float:
        """Of a copy on each node: from when on it counts no more, since its node was forgotten."""
        if all(version.copies == "1" for version in self.versions):
            return inf
        away = (
            each
            for name in self._names
            for each in self.case.trouble.get(name, ())
            if each.what == "forgotten"
        )
        return min((instant(each.begin) for each in away), default=inf)

    @cached_property
    def comes(self) -> float:
        """Of a copy on each node: until when it may not have counted yet, since its node had come just then."""
        if all(version.copies == "1" for version in self.versions):
            return -inf
        nodes = self.case.history.nodes
        able = [
            instant(version.since)
            for version in self.versions
            if any(may_be_on(version, name, nodes.get(name, {})) for name in self._names or nodes)
        ]
        return self.case.any_trouble.after(min(able, default=0.0), self.case.times.published)

    @cached_property
    def eras(self) -> list[Era]:
        """When which schedule counted."""
        skew = self.case.skew(None, -inf, inf)
        return eras(self.versions, self.case.history.end, max(1.0, skew))

    @cached_property
    def ticks(self) -> dict[int, list[Era]]:
        """The ticks that may have begun, each with the eras that name it: as long as an edit was not published."""
        found: dict[int, list[Era]] = defaultdict(list)
        for era in self.eras:
            until = self.case.any_trouble.after(era.last, self.case.times.published)
            for tick in era.ticks(min(until, self.case.end + 60)):
                found[tick].append(era)
        return found

    @cached_property
    def order(self) -> list[int]:
        """All ticks that may have begun, the first one first."""
        return sorted(self.ticks)

    @cached_property
    def by_tick(self) -> dict[int, list[Execution]]:
        """What began for each tick."""
        found: dict[int, list[Execution]] = defaultdict(list)
        for each in self.begun:
            if each.tick is not None:
                found[int(instant(each.tick))].append(each)
        return found

    @cached_property
    def by_run(self) -> dict[str, Execution]:
        """What began under each run's id: the first, where there are two."""
        return {each.run_id: each for each in reversed(self.begun)}

    @cached_property
    def told_of(self) -> dict[int, list[Told]]:
        """What is told of each tick, ranges under each tick in them."""
        found: dict[int, list[Told]] = defaultdict(list)
        for each in self.told:
            if each.tick is None:
                continue
            last = int(instant(each.tick))
            first = last if each.first_tick is None else int(instant(each.first_tick))
            inside = self.order[bisect_left(self.order, first) : bisect_right(self.order, last)]
            for tick in {first, last, *inside}:
                found[tick].append(each)
        return found

    @cached_property
    def shown(self) -> list[Shown]:
        """What the ledger says of its ticks."""
        shown = self.case.history.shown or ()
        return [each for each in shown if (each.job_id, each.copy) == (self.job, self.copy)]

    def noted(self, run: Execution) -> float:
        """When its node had noted its end, and the API heard of it."""
        return self.case.any_trouble.after(instant(run.ended), self.case.times.acknowledged)

    @cached_property
    def trouble(self) -> Spans:
        """All that hinders anything, and the times in which its file was not there."""
        return Spans([*self.case.any_trouble.all, *self.case.files(self.job, None)])

    @cached_property
    def _replaced(self) -> list[float]:
        """When the next version was published over each one."""
        following = [instant(each.since) for each in self.versions[1:]]
        return [*(self.case.any_trouble.after(each, self.case.times.published) for each in following), inf]

    def in_force(self, begin: float, end: float) -> list[Version]:
        """The versions that may have been gone by in a span: each until the next one was published over it."""
        return [
            version
            for version, gone in zip(self.versions, self._replaced, strict=False)
            if instant(version.since) <= end + 1 and gone >= begin
        ]

    def _nowhere(self) -> list[Span]:
        """When no node would do."""
        nodes = self.case.history.nodes
        return [
            (instant(version.since), gone)
            for version, gone in zip(self.versions, self._replaced, strict=False)
            if nodes and not any(may_be_on(version, *node) for node in nodes.items())
        ]

    def _hindered(self, node: str | None) -> Spans:
        """By trouble and edits, where the job stayed on a node; None: wherever it was."""
        if node not in self._hindrances:
            names = set(self.case.trouble)
            if node is not None:
                names -= (self.case.history.nodes.keys() | self.case.history.managers) - {node}
            edits = [instant(each.since) for each in self.versions]
            published = [
                (each, self.case.any_trouble.after(each, self.case.times.published)) for each in edits
            ]
            pauses = [
                (begin, self.case.any_trouble.after(end, self.case.times.published))
                for begin, end in self.case.pauses(None if node is None else {node})
            ]
            files = self.case.files(self.job, node)
            trouble = self.case.hindrance(names, of_ledger=node is None)
            self._hindrances[node] = Spans([*published, *pauses, *self._nowhere(), *files, *trouble])
        return self._hindrances[node]

    def hindered(self, tick: int, *, and_busy: bool) -> Spans:
        """What hindered a tick, runs of the same job and nodes without a place among it if they are to count."""
        node = self._home(tick)
        known = self._hindered(node)
        if not and_busy:
            return known
        full = self.case.full
        names = full.keys() if node is None else {node} & full.keys()
        taken = [span for name in names for span in full[name].all]
        own = [span for about, span in self.busy if about != tick] if self.waits else []
        return Spans([*known.all, *taken, *own])

    def _home(self, tick: int) -> str | None:
        """The node that has had the job since a tick before began there; None where that is not certain."""
        ran = [earlier for earlier in self.order[: bisect_left(self.order, tick)] if earlier in self.by_tick]
        if not ran:
            return None
        nodes = [self.nodes_of(ran[-1]), self.nodes_of(tick)]
        both = nodes[0] & nodes[1] & self.case.history.nodes.keys()
        node = next(iter(both), None)
        if node is None or len(nodes[0] | nodes[1]) != 1 or self.case.was_away(node, ran[-1], tick):
            return None
        return node

    def nodes_of(self, tick: int) -> set[str]:
        """Which nodes began it, or told of it."""
        begun = {each.node for each in self.by_tick.get(tick, ())}
        return begun | {each.node for each in self.told_of.get(tick, ()) if each.node is not None}

    @cached_property
    def waits(self) -> bool:
        """Whether its ticks ever wait for its runs: by policy, or to leave a node."""
        return self.moves or any(
            each.concurrency == "replace" or each.catch_up == "all" for each in self.versions
        )

    @cached_property
    def moves(self) -> bool:
        """Whether people ever said something else of where it may be."""
        return len({(each.node, *sorted(each.requires.items())) for each in self.versions}) > 1

    @cached_property
    def busy(self) -> list[tuple[int | None, Span]]:
        """When runs were unfinished, each with its tick: as long as they may have been, where nobody knows."""
        spans: list[tuple[int | None, Span]] = []
        for each in self.begun:
            tick = None if each.tick is None else int(instant(each.tick))
            begin = instant(each.began) - self.case.times.punctual if tick is None else float(tick)
            spans.append((tick, (begin, self._free(begin, instant(each.ended)))))
        for row in self.told:
            if row.tick is not None and row.run_id not in self.by_run and row.state != "skipped":
                begin = instant(row.tick)
                waited = max((there for _, there in self.case.files(self.job, row.node)), default=begin)
                spans.append((int(begin), (begin, self._free(begin, max(begin, waited)))))
        return [*spans, *self._waited_in_vain(), *self._between_attempts()]

    def _waited_in_vain(self) -> list[tuple[int | None, Span]]:
        """When runs by hand were claimed that never began: nobody knows since when they waited for their file."""
        rows = [row for row in self.told if row.tick is None and row.run_id not in self.by_run]
        return [
            (None, (begin, self._free(begin, min(there, instant(row.ended_at)))))
            for row in rows
            if row.node is not None
            for begin, there in self.case.files(self.job, row.node)
        ]

    def _free(self, begin: float, ended: float) -> float:
        """When the next one could begin at the latest."""
        free = ended + self.case.times.acknowledged
        if not self.case.any_trouble.meet(begin, free):
            return free
        settings = self.case.history.settings
        return self.case.any_trouble.after(ended, settings.run_lease + settings.session_timeout + 5)

    def _between_attempts(self) -> list[tuple[int | None, Span]]:
        found: list[tuple[int | None, Span]] = []
        for tick, attempts in self.by_tick.items():
            pairs = pairwise(sorted(attempts, key=lambda each: each.began))
            found += [(tick, (instant(a.ended), instant(b.began))) for a, b in pairs]
        return found

    def window_end(self, tick: int) -> float:
        """When the tick had to have begun, whatever hindered it."""
        if tick not in self._window_ends:
            busy = bool(self.case.full) or self.waits
            hindered = self.hindered(tick, and_busy=busy)
            self._window_ends[tick] = hindered.after(tick, self.case.times.punctual)
        return self._window_ends[tick]

    def told_by(self, tick: int) -> float:
        """When the ledger had to have it."""
        return self.case.any_trouble.after(self.window_end(tick), self.case.times.settled)
