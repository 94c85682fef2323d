"""The figures for Prometheus: they are what their page says, and count what happens."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families
from support.fakes import BEGIN
from support.fleet import Fleet
from support.office import Office
from support.samples import report

from cronkeeper.api.identity import Role
from cronkeeper.api.metrics import _OfAllProcesses
from cronkeeper.api.processes import FOLDER, figures_in_common
from cronkeeper.common import metrics
from cronkeeper.common.errors import Invalid, Unavailable
from cronkeeper.common.facts import ConditionName
from cronkeeper.common.model import ClaimName, Generation, LiveNode, RunState
from cronkeeper.manager import figures
from cronkeeper.manager.board import Board
from cronkeeper.manager.publish import NOWHERE, Move, Placed

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
WHERE = {"API": (metrics.API, metrics.SQL), "manager": (metrics.MANAGER,), "worker": (metrics.WORKER,)}
Row = tuple[str, str, frozenset[str], str]
"""Name, type, labels, where."""


def documented() -> Iterator[Row]:
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `cronkeeper_"):
            name, kind, labels, where, tells = (cell.strip() for cell in line.strip("|").split("|"))
            assert tells
            yield name.strip("`"), kind, frozenset(re.findall(r"`(\w+)`", labels)), where


def defined() -> Iterator[Row]:
    where = {
        family.name: place
        for place, registries in WHERE.items()
        for registry in registries
        for family in registry.collect()
    }
    for one in vars(metrics).values():
        if isinstance(one, Counter | Gauge | Histogram):
            (family,) = one.describe()
            suffix = "_total" if family.type == "counter" else ""
            yield family.name + suffix, family.type, frozenset(one._labelnames), where.pop(family.name)
    assert where == {}, "these have no name in the module"


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample of a page by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Since:
    """How much the figures of a registry have grown since this was made: tests share their process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._before = self._now()

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return self._now().get(key, 0.0) - self._before.get(key, 0.0)

    def _now(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        samples = (sample for family in self._registry.collect() for sample in family.samples)
        return {(one.name, frozenset(one.labels.items())): one.value for one in samples}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_the_page_tells_of_every_figure_and_of_none_that_is_gone() -> None:
    assert sorted(documented(), key=repr) == sorted(defined(), key=repr)


def test_names_keep_to_the_conventions() -> None:
    for name, kind, labels, where in defined():
        part = "" if where == "API" else f"{where}_"
        assert name.startswith(f"cronkeeper_{part}")
        assert name.endswith("_total") == (kind == "counter")
        assert name.endswith("_seconds") or kind != "histogram"
        assert labels & {"job", "job_id", "run", "run_id", "node", "instance"} == set()


def test_the_api_shows_its_figures_to_whoever_has_a_token(office: Office) -> None:
    assert office.call("GET", "/metrics", None).status_code == 401
    for role in Role:
        answer = office.call("GET", "/metrics", role)
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert read(answer.text)["cronkeeper_jobs", frozenset({("status", "error"), ("placed", "no")})] == 0


def test_requests_are_timed_by_endpoint_method_and_class_of_the_status(office: Office) -> None:
    since = Since(metrics.API)
    office.call("GET", "/jobs")
    office.call("GET", "/jobs/7")
    office.call("GET", "/jobs", None)
    office.create()

    count = "cronkeeper_api_request_duration_seconds_count"
    assert since(count, endpoint="jobs.listing", method="GET", status="2xx") == 1
    assert since(count, endpoint="jobs.show", method="GET", status="4xx") == 1
    assert since(count, endpoint="jobs.listing", method="GET", status="4xx") == 1
    assert since(count, endpoint="jobs.create", method="POST", status="2xx") == 1


def test_what_is_asked_for_in_vain_makes_no_figures_of_its_own(office: Office) -> None:
    since = Since(metrics.API)
    office.call("GET", "/nothing/1")
    office.call("BREW", "/nothing/2")
    office.call("BREW", "/jobs")

    assert (
        since("cronkeeper_api_request_duration_seconds_count", endpoint="none", method="any", status="4xx")
        == 3
    )


def test_jobs_and_unfinished_runs_are_counted_in_sql_now_and_then(office: Office) -> None:
    def counted(name: str, **labels: str) -> float:
        return read(office.call("GET", "/metrics").text)[name, frozenset(labels.items())]

    job = office.create().get_json()
    assert counted("cronkeeper_jobs", status="scheduled", placed="no") == 1
    office.call("POST", f"/jobs/{job['id']}/runs")
    assert counted("cronkeeper_runs_unfinished", state="queued") == 0, "it was counted a moment ago"
    office.clock.now += timedelta(seconds=30)
    assert counted("cronkeeper_runs_unfinished", state="queued") == 1
    assert counted("cronkeeper_runs_unfinished", state="running") == 0
    office.call("DELETE", f"/jobs/{job['id']}")
    office.clock.now -= timedelta(seconds=60)
    assert counted("cronkeeper_jobs", status="scheduled", placed="no") == 0, "the clock was set back"


def test_while_sql_does_not_answer_everything_else_is_shown(office: Office) -> None:
    office.store.troubles.append(Unavailable("the database is away"))
    answer = office.call("GET", "/metrics")

    assert answer.status_code == 200
    assert "cronkeeper_runs_ended_total" in answer.text
    assert "cronkeeper_jobs" not in answer.text
    assert "cronkeeper_jobs" in office.call("GET", "/metrics").text


def test_an_end_counts_once_however_often_it_is_reported(office: Office) -> None:
    key = office.add_node("alpha")
    job = int(office.create().get_json()["id"])
    since = Since(metrics.API)
    for state in (RunState.RUNNING, RunState.SUCCEEDED, RunState.SUCCEEDED):
        assert office.report("alpha", key, [report(state, job_id=job)]).status_code == 200
    skipped = report(RunState.SKIPPED, job_id=job, copy=1, run_id=f"{job}.1.20260301T120100Z.1")
    office.report("alpha", key, [skipped])

    assert since("cronkeeper_runs_ended_total", state="succeeded") == 1
    assert since("cronkeeper_runs_ended_total", state="skipped") == 1
    assert since("cronkeeper_runs_ended_total", state="failed") == 0


def test_a_worker_counts_what_it_starts_and_what_it_skips(fleet: Fleet) -> None:
    since = Since(metrics.WORKER)
    fleet.machines["alpha"].run_seconds = 90.0
    job = fleet.submit()
    fleet.go(100)  # three minutes begin, and a run takes longer than one
    fleet.request(job)
    fleet.go(60)

    started = since("cronkeeper_worker_runs_started_total", started_by="clock")
    assert started == since("cronkeeper_worker_start_lateness_seconds_count") >= 1
    assert since("cronkeeper_worker_skips_total", reason="still_running") >= 1
    assert since("cronkeeper_worker_late_starts_total") == 0
    assert value(metrics.WORKER, "cronkeeper_worker_claims") == 1


@pytest.mark.parametrize(("after", "late"), [(5.0, 0), (8.0, 1)])
def test_a_start_is_late_after_what_cron_is_waited_for(fleet: Fleet, after: float, late: int) -> None:
    fleet.submit()
    fleet.until(BEGIN + timedelta(seconds=29))
    fleet.stop("alpha")
    fleet.until(BEGIN + timedelta(seconds=30 + after))
    since = Since(metrics.WORKER)
    fleet.restart("alpha")
    fleet.go(1.5)

    assert since("cronkeeper_worker_start_lateness_seconds_count") == 1
    assert since("cronkeeper_worker_late_starts_total") == late


def test_a_tick_that_starts_late_counts_as_such_and_missed_ones_as_skips(fleet: Fleet) -> None:
    fleet.submit(max_lateness=120.0)
    fleet.go(1)
    session = fleet.daemons["alpha"].tree.session()
    fleet.stop("alpha")
    fleet.go(312)
    since = Since(metrics.WORKER)
    fleet.work("alpha", (session.id, session.password))
    fleet.go(10)

    assert since("cronkeeper_worker_late_starts_total") == 1
    assert since("cronkeeper_worker_start_lateness_seconds_bucket", le="30.0") == 0
    assert since("cronkeeper_worker_start_lateness_seconds_bucket", le="60.0") == 1
    assert since("cronkeeper_worker_skips_total", reason="too_late") == 1
    assert since("cronkeeper_worker_skips_total", reason="coalesced") == 1


def test_a_worker_says_what_it_holds_at_the_moment(fleet: Fleet) -> None:
    fleet.machines["alpha"].run_seconds = 20.0
    fleet.submit()
    fleet.submit()
    fleet.go(31)

    names = (
        "claims",
        "runs_running",
        "runs_waiting",
        "journal_runs",
        "jobs_waiting",
        "reports_waiting",
        "crontab_trusted",
    )
    shown = {name: value(metrics.WORKER, f"cronkeeper_worker_{name}") for name in names}
    assert shown == {
        "claims": 2,
        "runs_running": 2,
        "runs_waiting": 0,
        "journal_runs": 2,
        "jobs_waiting": 0,
        "reports_waiting": 0,
        "crontab_trusted": 0,
    }
    lease = "cronkeeper_worker_lease_remaining_seconds"
    assert 0 < (value(metrics.WORKER, lease) or 0) <= 4
    fleet.stop("alpha")
    fleet.go(5)
    assert value(metrics.WORKER, lease) == 0, "a daemon that does nothing any more shows"


def test_a_worker_says_what_is_wrong_with_its_node(fleet: Fleet) -> None:
    def told(name: str) -> float | None:
        return value(metrics.WORKER, "cronkeeper_worker_condition", condition=name)

    fleet.go(3)
    assert [told(name) for name in ConditionName] == [0] * len(ConditionName)
    fleet.machines["alpha"].wall_offset = 2.0
    fleet.go(3)
    assert (told("clock_off"), told("crond_hung")) == (1, 0)


def test_a_leader_says_what_it_sees_and_counts_what_it_moves(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet("alpha", "beta")
    since = Since(metrics.MANAGER)
    job = fleet.submit()
    fleet.go(1)
    fleet.change(job, name="another")
    fleet.go(1)
    fleet.machines["alpha"].run_seconds = fleet.machines["beta"].run_seconds = 1000.0
    fleet.go(60)

    def moves(cause: str) -> float:
        return since("cronkeeper_manager_moves_total", cause=cause)

    assert (moves("publish"), moves("edit"), moves("failover")) == (1, 1, 0)
    assert value(metrics.MANAGER, "cronkeeper_manager_leads") == 1
    assert value(metrics.MANAGER, "cronkeeper_manager_jobs_placed") == 1
    assert value(metrics.MANAGER, "cronkeeper_manager_nodes", state="live") == 2

    owner, _ = fleet.claim(job)
    fleet.power_off(owner)
    fleet.go(80)
    assert moves("failover") == 1
    assert since("cronkeeper_manager_runs_lost_total") == 1
    fleet.change(job, name="a third")
    fleet.go(1)
    assert value(metrics.MANAGER, "cronkeeper_manager_nodes", state="absent") == 1

    fleet.remove(job)
    fleet.go(1)
    assert moves("withdraw") == 1
    fleet.stop("first")
    fleet.go(5)
    assert value(metrics.MANAGER, "cronkeeper_manager_leads") == 0
    assert value(metrics.MANAGER, "cronkeeper_manager_epoch") == 0


@pytest.mark.parametrize(
    ("source", "target", "cause"),
    [
        (None, "alpha", "publish"),
        (NOWHERE, "alpha", "publish"),
        ("alpha", "alpha", "edit"),
        ("alpha", "beta", "move"),
        ("gone", "beta", "failover"),
        ("alpha", NOWHERE, "park"),
        ("alpha", None, "withdraw"),
    ],
)
def test_a_move_counts_by_its_cause(source: str | None, target: str | None, cause: str) -> None:
    node = LiveNode(name="alpha", incarnation="1", boot_id="1", version="1", crond=False)
    name = ClaimName(1, 1, Generation(1, 1))
    places = [None if each is None else Placed(each, name) for each in (source, target)]
    since = Since(metrics.MANAGER)
    figures.moved([Move((1, 1), *places)], Board(live={"alpha": node}))
    assert since("cronkeeper_manager_moves_total", cause=cause) == 1


def test_a_round_that_is_put_off_counts(fleet: Fleet) -> None:
    since = Since(metrics.MANAGER)
    fleet.daemons["first"].tree.disconnect()
    fleet.go(2)
    assert since("cronkeeper_manager_rounds_put_off_total") >= 1


@pytest.mark.parametrize(
    "address", ["30001", ":30001", "host", "host:", "host:0", "host:65536", "host:-1", "::1:30001", "h:3000l"]
)
def test_an_address_that_is_none_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(Invalid, match=r"accepted: host:port, such as 127\.0\.0\.1:30001"):
        metrics.listen(address, "worker.metrics", metrics.WORKER)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_can_be_none_is_refused_with_the_key_that_names_it(host: str) -> None:
    with pytest.raises(Invalid, match=r"worker\.metrics: nothing can listen at"):
        metrics.listen(f"{host}:30001", "worker.metrics", metrics.WORKER)


def test_the_folder_of_the_figures_is_forgotten_with_the_api() -> None:
    with figures_in_common():
        folder = Path(os.environ[FOLDER])
        assert folder.is_dir()
    assert not folder.exists()
    assert FOLDER not in os.environ


def test_figures_are_told_while_a_process_of_the_api_is_just_making_its_files(tmp_path: Path) -> None:
    (tmp_path / "histogram_1.db").touch()
    assert _OfAllProcesses(str(tmp_path)).collect() == []
