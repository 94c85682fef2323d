"""What Prometheus reads of the API."""

import logging
import os
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, current_app, g, request
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from cronkeeper.common import metrics
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import JobStatus
from cronkeeper.common.store import counts

from . import processes
from .blueprint import Blueprint
from .services import Services, services

log = logging.getLogger(__name__)

blueprint = Blueprint("metrics", __name__, description="For Prometheus.")

FRESH = timedelta(seconds=30)
"""So long a count is told again, whoever asks: to count 100,000 jobs takes MariaDB half a second."""
_PAGE = "cronkeeper.figures"
_TEXT: dict[str, Any] = {
    "schema": {"type": "string"},
    "content_type": "text/plain",
    "description": "Prometheus' text format, version 0.0.4",
}


class _OfAllProcesses:
    """The API's figures as the sums over its processes."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._names = {family.name for family in metrics.API.collect()}

    def collect(self) -> list[Metric]:
        # A process that begins makes its files before it gives them their length: until then they can't be read.
        files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size > 0]
        families = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        # The definitions of the other daemons lie there too, and mean nothing.
        return [family for family in families if family.name in self._names]


class Page:
    """All figures of this process and, of an API with several, of the others."""

    def __init__(self, given: Services) -> None:
        folder = os.environ.get(processes.FOLDER)
        own = metrics.API if folder is None else _OfAllProcesses(folder)
        self._page = metrics.together(own, *given.figures)
        self._store = given.desk.store
        self._counting = threading.Lock()
        self._counted_at: datetime | None = None

    def text(self, now: datetime) -> bytes:
        """In Prometheus' text format; without what SQL counts where that does not answer."""
        try:
            self._count(now)
        except Unavailable as error:
            log.warning("the figures lack what SQL counts: %s", error)
            return generate_latest(self._page)
        return generate_latest(self._page) + generate_latest(metrics.SQL)

    def _count(self, now: datetime) -> None:
        with self._counting:
            if self._counted_at is None or not timedelta(0) <= now - self._counted_at < FRESH:
                _show(self._store.transaction(counts.take))
                self._counted_at = now


def install(app: Flask, given: Services) -> None:
    """Provide the page, and time every request of this app."""
    app.extensions[_PAGE] = Page(given)
    app.before_request(_begin)
    app.after_request(_end)


@blueprint.route("/metrics", methods=["GET"])
@blueprint.response(200, **_TEXT)
def show() -> Response:
    """Show the figures for Prometheus

    docs/metrics.md says what each of them tells.
    """
    text = cast(Page, current_app.extensions[_PAGE]).text(services().clock())
    return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _show(counted: counts.Counts) -> None:
    for status in (JobStatus.SCHEDULED, JobStatus.ERROR):
        for placed, word in ((True, "yes"), (False, "no")):
            metrics.JOBS.labels(status, word).set(counted.jobs.get((status, placed), 0))
    for state in counts.UNFINISHED:
        metrics.RUNS_UNFINISHED.labels(state).set(counted.runs.get(state, 0))


def _begin() -> None:
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    # Of what leads nowhere any path and method may be asked for.
    rule = request.url_rule
    endpoint, method = ("none", "any") if rule is None else (rule.endpoint, request.method)
    status = f"{response.status_code // 100}xx"
    metrics.REQUEST_DURATION.labels(endpoint, method, status).observe(time.perf_counter() - g.began)
    return response
