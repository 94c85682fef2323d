"""What a worker tells Prometheus; the figures themselves are defined in common/metrics.py."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

from cronkeeper.common import metrics
from cronkeeper.common.clock import utc_now
from cronkeeper.common.facts import ConditionName
from cronkeeper.common.model import Skip
from cronkeeper.worker.parts import Parts
from cronkeeper.worker.places import Places
from cronkeeper.worker.run_folder import Plan
from cronkeeper.worker.standing import Standing


def watch(parts: Parts, held: Collection[object], places: Places) -> None:
    """Let what changes all the time be read when somebody asks, on another thread: so a worker that hangs shows."""
    lease = parts.lease
    metrics.CLAIMS.set_function(lambda: len(held))
    metrics.PLACES.set_function(lambda: places.total)
    metrics.JOBS_WAITING.set_function(lambda: places.waiting)
    metrics.RUNS_RUNNING.set_function(parts.journal.processes.count)
    metrics.RUNS_WAITING.set_function(lambda: parts.journal.waiting)
    metrics.JOURNAL.set_function(lambda: len(parts.journal.entries))
    metrics.REPORTS_WAITING.set_function(parts.reporter.waiting)
    metrics.REPORTS_AGE.set_function(lambda: age(parts.reporter.oldest(), utc_now()))
    metrics.LEASE_REMAINING.set_function(lambda: max(0.0, lease.deadline - lease.now()))
    metrics.CLOCK_OFFSET.set_function(lambda: parts.standing.clock_offset)
    metrics.CRONTAB_TRUSTED.set_function(lambda: parts.table.trusted)
    for name in ConditionName:
        metrics.CONDITION.labels(name).set_function(partial(_is_found, parts.standing, name))


def _is_found(standing: Standing, name: ConditionName) -> bool:
    return name in standing.findings()


def age(oldest: datetime | None, now: datetime) -> float:
    """Seconds since then; 0 where there is nothing."""
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


def started(plan: Plan, now: datetime, punctual: timedelta) -> None:
    """A run's process was started."""
    metrics.RUNS_STARTED.labels(plan.started_by).inc()
    if plan.tick is None or plan.attempt > 1:
        return
    lateness = now - plan.tick
    metrics.START_LATENESS.observe(max(0.0, lateness.total_seconds()))
    if lateness > punctual:
        metrics.LATE_STARTS.inc()


def skipped(skips: Iterable[Skip]) -> None:
    """Ticks were skipped, and the claim says so."""
    for skip in skips:
        metrics.SKIPS.labels(skip.reason).inc()
