"""Histories made by hand: a fleet of which all went well, but for what a test says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from simulation.checker import check
from simulation.history import Away, Execution, History, Pause, Settings, Told, Version

BEGIN = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
SETTINGS = Settings(session_timeout=6, run_lease=60, on_time=30, clock_grace=5)
NODES: dict[str, dict[str, str]] = {"a": {"disk": "ssd"}, "b": {}}
TICKS = range(60, 1200, 60)
"""The ticks of `* * * * *` in a tale, as seconds from its begin."""


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


class Tale:
    """Twenty minutes of one job that is due every minute; each tick of which nothing is said ran well on `a`."""

    def __init__(self, **said: object) -> None:
        first = Version(since=at(1), schedule="* * * * *", effective_from=at(1))
        self.versions = [replace(first, **said)]  # type: ignore[arg-type]
        self.begun: list[Execution] = []
        self.rows: list[Told] = []
        self.trouble: list[Away] = []
        self.pauses: list[Pause] = []
        self.spoken_of: set[float] = set()
        self.more: dict[str, object] = {"nodes": NODES, "managers": ("m1",)}

    def edit(self, since: float, **said: object) -> "Tale":
        self.versions.append(replace(self.versions[-1], since=at(since), **said))  # type: ignore[arg-type]
        return self

    def away(self, node: str, begin: float, end: float | None, what: str = "crash") -> "Tale":
        self.trouble.append(Away(node=node, begin=at(begin), end=None if end is None else at(end), what=what))
        return self

    def paused(self, node: str | None, begin: float, end: float | None) -> "Tale":
        """A node, or the fleet."""
        self.pauses.append(Pause(node=node, begin=at(begin), end=None if end is None else at(end)))
        return self

    def silent(self, *ticks: float) -> "Tale":
        """Nothing is known of these."""
        self.spoken_of |= set(ticks)
        return self

    def ran(
        self,
        tick: float | None,
        late: float = 1.0,
        lasted: float | None = 2.0,
        *,
        told: str | None = "succeeded",
        **said: object,
    ) -> "Tale":
        """One run, told as it was; `began` counts from `late` where it was asked for by hand."""
        began = at((tick or 0) + late)
        run = Execution(
            run_id="",
            job_id=1,
            copy=1,
            tick=None if tick is None else at(tick),
            attempt=1,
            node="a",
            token=(1, 1, int((began - BEGIN).total_seconds() * 10)),
            began=began,
            ended=None if lasted is None else began + timedelta(seconds=lasted),
            complete=lasted is not None,
            succeeded=lasted is not None and told != "failed",
        )
        run = replace(run, **said)  # type: ignore[arg-type]
        name = f"hand-{late}" if tick is None else f"{at(tick):%Y%m%dT%H%M%SZ}"
        run = run if run.run_id else replace(run, run_id=f"{run.job_id}.{run.copy}.{name}.{run.attempt}")
        self.begun.append(run)
        self.spoken_of |= {tick} if tick is not None else set()
        return self if told is None else self.told(tick, told, of=run)

    def told(self, tick: float | None, state: str, *, of: Execution | None = None, **said: object) -> "Tale":
        """What the ledger says, of a run that began or of one that did not."""
        row = Told(
            run_id=of.run_id if of else f"1.1.{at(tick or 0):%Y%m%dT%H%M%SZ}.1",
            job_id=1,
            copy=of.copy if of else 1,
            tick=None if tick is None else at(tick),
            first_tick=None,
            attempt=of.attempt if of else 1,
            state=state,
            reason=None,
            node=of.node if of else None,
            started_at=of.began if of else None,
            ended_at=of.ended if of else None,
        )
        self.rows.append(replace(row, **said))  # type: ignore[arg-type]
        self.spoken_of |= {tick} if tick is not None else set()
        return self

    def skipped(self, tick: float, reason: str, first: float | None = None, **said: object) -> "Tale":
        """One tick, or all from `first` on."""
        self.silent(*(each for each in TICKS if first is not None and first <= each <= tick))
        first_tick = None if first is None else at(first)
        return self.told(tick, "skipped", reason=reason, first_tick=first_tick, **said)

    def history(self) -> History:
        """All of it, from begin to end."""
        for tick in TICKS:
            if tick not in self.spoken_of:
                self.ran(tick)
        ends = [each.end for each in self.trouble if each.end is not None]
        whole = History(
            begin=BEGIN,
            healed=max(ends, default=BEGIN),
            end=at(1200),
            settings=SETTINGS,
            jobs={1: tuple(self.versions)},
            executions=tuple(self.begun),
            told=tuple(self.rows),
            trouble=tuple(self.trouble),
            pauses=tuple(self.pauses),
        )
        return replace(whole, **self.more)  # type: ignore[arg-type]

    def complaints(self) -> list[str]:
        """The kinds, each once, in order."""
        return sorted({each.kind for each in check(self.history())})
