"""Writes down what happened to a cluster, for the checker."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from simulation.cluster import Cluster
from simulation.deeds import People
from simulation.history import Away, Execution, History, Settings, Shown, Told
from simulation.scenario import Event, Fault, Strike
from support.fakes import BEGIN, Command
from support.fleet import SESSION

from cronkeeper.common.ledger import Rules, Window
from cronkeeper.common.model import Run, RunState
from cronkeeper.manager import jobs, ledger

AWAY = {
    Strike.LOSE_CALL: "cut_in",
    Strike.LOSE_REPLY: "cut_out",
    Strike.CRASH_BEFORE: "crash",
    Strike.CRASH_AFTER: "crash",
    Strike.SLOW_CALL: "slow",
    Strike.SLOW_REPLY: "slow",
    Strike.STOP_BEFORE: "stopped",
    Strike.STOP_AFTER: "stopped",
    Strike.TAKE_OVER: "expired",
    Fault.RESTART: "crash",
    Fault.PAUSE: "stopped",
    Fault.SUSPEND: "pause",
    Fault.DRIFT: "clock",
    Fault.FROZEN: "cut",
    Fault.SILENCE: "reports_cut_in",
    Fault.DEAF: "reports_cut_out",
    Fault.NO_SQL: "sql_cut",
}
"""The checker's words, where they are others."""
STANDING_STILL = ("stopped", "pause")


@dataclass
class Recorder:
    """Notes trouble as it happens; the rest is read at the end."""

    cluster: Cluster
    trouble: list[Away] = field(default_factory=list)
    healed: float | None = None

    def befell(self, event: Event) -> None:
        """It begins now, and lasts as long as the event says or until all is healed."""
        begin = self.cluster.time.seconds
        what = AWAY[event.what] if event.what in AWAY else str(event.what)  # type: ignore[index]
        end = moment(begin + event.lasts)
        off = abs(event.value) if event.what is Fault.CLOCK else 0.0
        self.trouble.append(Away(node=event.who, begin=moment(begin), end=end, what=what, off=off))

    def tree_lost(self) -> None:
        """All jobs are published again, at the latest once the runs of dead nodes are waited for no more."""
        begin = self.cluster.time.seconds
        end = moment(begin + self.cluster.run_lease)
        self.trouble.append(Away(node="zookeeper", begin=moment(begin), end=end, what="wiped"))

    def history(self, people: People) -> History:
        """All of it."""
        assert self.healed is not None
        healed = moment(self.healed)
        ended = (_until(self._until_death(each), healed) for each in self.trouble)
        return History(
            begin=BEGIN,
            healed=healed,
            end=self.cluster.time.now,
            settings=Settings(
                session_timeout=SESSION, run_lease=self.cluster.run_lease, on_time=30.0, clock_grace=5.0
            ),
            jobs={job_id: tuple(versions) for job_id, versions in people.versions.items()},
            executions=tuple(self._executions()),
            told=tuple(_told(run) for _, run in sorted(self.cluster.runs().items())),
            shown=tuple(self._shown(people)),
            statuses={job.id: str(self.cluster.job(job).status) for job in people.jobs.values()},
            nodes={name: dict(machine.labels) for name, machine in self.cluster.machines.items()},
            managers=tuple(sorted(self.cluster.ways.keys() - self.cluster.machines.keys())),
            files=dict(sorted(people.files.items())),
            places={name: machine.max_running for name, machine in self.cluster.machines.items()},
            trouble=tuple(ended),
            pauses=tuple(people.pauses),
            copies=dict(self._copies(people)),
        )

    def _until_death(self, away: Away) -> Away:
        """What stands still is killed all the same, and then does no more."""
        if away.what not in STANDING_STILL:
            return away
        deaths = (moment(at) for name, at in self.cluster.deaths if name == away.node)
        return _until(away, min((death for death in deaths if death > away.begin), default=away.end))

    def _shown(self, people: People) -> Iterator[Shown]:
        """GET /jobs/<id>/ledger, of every job."""
        now = self.cluster.time.now
        window, rules = Window(begin=BEGIN, end=now, now=now), Rules(patience=timedelta(0))
        for job in people.jobs.values():
            for entry in ledger.of_job(self.cluster.desk, job.id, window, rules).ticks:
                yield Shown(
                    job_id=job.id,
                    copy=entry.copy,
                    tick=entry.tick,
                    result=str(entry.result),
                    expected=entry.expected,
                    lateness=entry.lateness,
                )

    def _copies(self, people: People) -> Iterator[tuple[tuple[int, int], str]]:
        """GET /jobs/<id>/copies, of every job."""
        for job in people.jobs.values():
            for each in jobs.copies_of(self.cluster.desk, job.id):
                yield (job.id, each.copy), each.node

    def _executions(self) -> Iterator[Execution]:
        """Of those that a machine began at the same instant the first one first."""
        every = [
            (one.began, name, one)
            for name, machine in self.cluster.machines.items()
            for one in machine.commands
        ]
        for _, name, command in sorted(every, key=lambda each: each[:2]):
            yield _execution(name, command)


def moment(seconds: float) -> datetime:
    """The true time at a reading of the true clock."""
    return BEGIN + timedelta(seconds=seconds - 1000.0)


def _until(away: Away, healed: datetime) -> Away:
    end = healed if away.end is None or away.end > healed else away.end
    return replace(away, end=end)


def _execution(node: str, command: Command) -> Execution:
    plan = command.plan
    complete = command.ended is not None and command.exit_code is not None and not command.told
    return Execution(
        run_id=plan.run_id,
        job_id=plan.spec.job_id,
        copy=plan.spec.copy,
        tick=plan.tick,
        attempt=plan.attempt,
        node=node,
        token=tuple(int(part) for part in plan.token.split(".")),
        began=moment(command.began),
        ended=None if command.ended is None else moment(command.ended),
        complete=complete,
        succeeded=complete and command.exit_code == 0,
    )


def _told(run: Run) -> Told:
    return Told(
        run_id=run.id,
        job_id=run.job_id,
        copy=run.copy,
        tick=run.tick,
        first_tick=_first_tick(run),
        attempt=run.attempt,
        state=str(run.state),
        reason=run.reason,
        node=run.node,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _first_tick(run: Run) -> datetime | None:
    """The first of the ticks that a skip tells of."""
    if run.state is not RunState.SKIPPED or run.reason is None or "ticks from " not in run.reason:
        return run.tick
    return datetime.fromisoformat(run.reason.split("ticks from ")[1].split(" to ")[0])
