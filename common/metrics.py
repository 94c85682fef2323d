"""The figures for Prometheus: all definitions, by the daemon that has them, and how they are served.

A label has few values: no id of a job or run is one, and no name of a node. docs/metrics.md shows the same as a
table. They belong to the process; what counts them is a line where the thing happens.
"""

from collections.abc import Iterable

from prometheus_client import REGISTRY as PROCESS
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.registry import Collector

from cronkeeper.common.address import parse_address
from cronkeeper.common.errors import Invalid
from cronkeeper.common.facts import ConditionName
from cronkeeper.common.model import RunState, SkipReason, StartedBy

__all__ = ["PROCESS"]

CAUSES = ("publish", "edit", "move", "failover", "park", "withdraw")

disable_created_metrics()  # type: ignore[no-untyped-call]

API, SQL, MANAGER, WORKER = (CollectorRegistry() for _ in range(4))
"""SQL: what the API asks of the database when it is scraped."""

REQUEST_DURATION = Histogram(
    "cronkeeper_api_request_duration_seconds",
    "Time from a request to its answer, by the name of the endpoint, the method and the class of the status (2xx). "
    "With `wait`, a request for a run takes as long as it waits.",
    ["endpoint", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=API,
)
RUNS_ENDED = Counter(
    "cronkeeper_runs_ended",
    "Runs whose end was reported, and ticks that were skipped, each once. Those that the leader gives up are in "
    "cronkeeper_manager_runs_lost_total.",
    ["state"],
    registry=API,
)
JOBS = Gauge(
    "cronkeeper_jobs",
    "Jobs that have not ended, by status and by whether a node has them (yes, no). Counted in SQL.",
    ["status", "placed"],
    registry=SQL,
)
RUNS_UNFINISHED = Gauge(
    "cronkeeper_runs_unfinished",
    "Runs that have not ended: queued for a node, claimed by one, or running. Counted in SQL.",
    ["state"],
    registry=SQL,
)

LEADS = Gauge("cronkeeper_manager_leads", "1 while this manager leads and its lease holds.", registry=MANAGER)
EPOCH = Gauge(
    "cronkeeper_manager_epoch", "The epoch of the leader; 0 where it does not lead.", registry=MANAGER
)
JOBS_PLACED = Gauge(
    "cronkeeper_manager_jobs_placed",
    "Jobs that are on a node, live or not; 0 where it does not lead.",
    registry=MANAGER,
)
NODES = Gauge(
    "cronkeeper_manager_nodes",
    "Nodes that the leader sees live, and those that were live before and are absent; 0 where it does not lead.",
    ["state"],
    registry=MANAGER,
)
NODES_PAUSED = Gauge(
    "cronkeeper_manager_nodes_paused",
    "Nodes on which nothing begins, since they or the whole fleet are paused; 0 where it does not lead.",
    registry=MANAGER,
)
MOVES = Counter(
    "cronkeeper_manager_moves",
    "Claims that the leader has moved: given to a first node (publish), published again at theirs (edit), given "
    "to another node (move) since theirs is gone (failover), taken from theirs while no other will do (park), or "
    "taken back for good (withdraw).",
    ["cause"],
    registry=MANAGER,
)
ROUNDS_PUT_OFF = Counter(
    "cronkeeper_manager_rounds_put_off",
    "Rounds that were broken off because SQL or coordination did not answer, or another one leads.",
    registry=MANAGER,
)
RUNS_LOST = Counter(
    "cronkeeper_manager_runs_lost",
    "Runs that the leader gave up because their node is gone or was restarted, or nobody has them any more.",
    registry=MANAGER,
)
SQL_PUT_BACK = Counter(
    "cronkeeper_manager_sql_put_back",
    "How often this manager found SQL put back to a backup, and set right what it had forgotten.",
    registry=MANAGER,
)
LEDGER_HOLES = Counter(
    "cronkeeper_manager_ledger_holes",
    "Ticks of which nothing tells what became of them, though later ones are accounted for; each once.",
    registry=MANAGER,
)
LEDGER_OVERDUE = Gauge(
    "cronkeeper_manager_jobs_overdue",
    "Jobs of which nothing was heard since a tick that should have been dealt with long ago; 0 where it does not "
    "lead.",
    registry=MANAGER,
)

RUNS_STARTED = Counter(
    "cronkeeper_worker_runs_started",
    "Runs whose process was started here, by what started them. Ticks that fell due here are those of them that "
    "were not asked for by hand, and the skips.",
    ["started_by"],
    registry=WORKER,
)
START_LATENESS = Histogram(
    "cronkeeper_worker_start_lateness_seconds",
    "Time from a tick to the round that started it.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
    registry=WORKER,
)
LATE_STARTS = Counter(
    "cronkeeper_worker_late_starts",
    "Ticks that were started later than fleet.clock_grace and 2 s after they were due.",
    registry=WORKER,
)
SKIPS = Counter(
    "cronkeeper_worker_skips",
    "Ticks that were skipped here. Missed are those that were too_late or coalesced; a range of them that is "
    "skipped at once counts as one, as it does among the runs.",
    ["reason"],
    registry=WORKER,
)
CLAIMS = Gauge("cronkeeper_worker_claims", "Jobs that the node has.", registry=WORKER)
RUNS_RUNNING = Gauge("cronkeeper_worker_runs_running", "Runs whose process goes on here.", registry=WORKER)
RUNS_WAITING = Gauge(
    "cronkeeper_worker_runs_waiting",
    "Runs that are claimed here and wait to be started: for their file, or for a doubt to be settled.",
    registry=WORKER,
)
PLACES = Gauge(
    "cronkeeper_worker_places", "How many runs may go on here at once (worker.max_running).", registry=WORKER
)
JOBS_WAITING = Gauge(
    "cronkeeper_worker_jobs_waiting",
    "Jobs that are due, or asked for, and wait for a place: nothing of them is claimed yet.",
    registry=WORKER,
)
JOURNAL = Gauge(
    "cronkeeper_worker_journal_runs",
    "Run folders: of runs that have not ended, or whose end not everyone has acknowledged.",
    registry=WORKER,
)
REPORTS_WAITING = Gauge(
    "cronkeeper_worker_reports_waiting", "Reports that the API has not acknowledged yet.", registry=WORKER
)
REPORTS_AGE = Gauge(
    "cronkeeper_worker_oldest_report_seconds",
    "Time since that happened which has waited longest to be told to the API; 0 where nothing waits.",
    registry=WORKER,
)
OUTPUTS_DROPPED = Counter(
    "cronkeeper_worker_outputs_dropped",
    "Runs whose output was dropped, since it could not be handed over and the disk was filling up.",
    registry=WORKER,
)
LEASE_REMAINING = Gauge(
    "cronkeeper_worker_lease_remaining_seconds",
    "Time for which the worker may still start something; 0: it is over; +Inf: embedded, it never ends.",
    registry=WORKER,
)
CLOCK_OFFSET = Gauge(
    "cronkeeper_worker_clock_offset_seconds",
    "How far the node's clock is ahead of ZooKeeper's, measured once a minute; NaN: not yet.",
    registry=WORKER,
)
CRONTAB_TRUSTED = Gauge(
    "cronkeeper_worker_crontab_trusted",
    "1 while cron is relied on: the crontab is up to date and crond lives; 0: the clock starts all ticks.",
    registry=WORKER,
)
PAUSED = Gauge(
    "cronkeeper_worker_paused",
    "1 while nothing begins here, since the node or the whole fleet is paused.",
    registry=WORKER,
)
CONDITION = Gauge(
    "cronkeeper_worker_condition",
    "1 while that is wrong with the node; GET /nodes says why, and since when.",
    ["condition"],
    registry=WORKER,
)


def _begin_at_0(figure: Counter | Gauge, values: Iterable[str]) -> None:
    """Show what has not happened yet: so the first time is seen as an increase."""
    for value in values:
        figure.labels(value)


_begin_at_0(RUNS_ENDED, (state for state in RunState if state.final))
_begin_at_0(MOVES, CAUSES)
_begin_at_0(NODES, ("live", "absent"))
_begin_at_0(RUNS_STARTED, StartedBy)
_begin_at_0(SKIPS, SkipReason)
_begin_at_0(CONDITION, ConditionName)


def together(*parts: Collector) -> CollectorRegistry:
    """Several registries as one page."""
    page = CollectorRegistry(support_collectors_without_names=True)
    for part in parts:
        page.register(part)
    return page


def listen(address: str, key: str, figures: Collector) -> None:
    """Show a daemon's figures at host:port, to whoever asks; `key` is where the address comes from.

    Raises:
        Invalid: nothing can listen there.
    """
    host, port = parse_address(address)
    try:
        start_http_server(port, host, together(figures, PROCESS))
    except (OSError, UnicodeError) as error:  # the latter of a host such as a..b
        why = error.strerror if isinstance(error, OSError) and error.strerror is not None else str(error)
        raise Invalid(f"{key}: nothing can listen at {address}: {why}") from error
