"""Reports to the API: in batches, signed with the node's key, repeated until they are acknowledged.

A thread of its own, so that an API that hangs holds up no tick. What is waiting is only in memory: the
run folders and claims are the journal, and after a restart the worker submits from them again.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import urllib3

from cronkeeper.common.errors import CronkeeperError, Unavailable
from cronkeeper.common.model import Report, decode, encode
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER, NodeKey

log = logging.getLogger(__name__)

MAX_BATCH = 200
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of what the runs wrote; the API takes several times as much in one request."""
LINGER = 0.02
"""Seconds that a batch waits for company."""
MANY = 10
LINGER_WITH_MANY = 0.5
"""So long it waits, unless it is full, where at least `MANY` reports wait, or just did: it saves a burst most of
the requests."""
RETRY_FIRST = 0.2
RETRY_MOST = 5.0
TIMEOUT = 10.0


class Send(Protocol):
    """Hands a batch over and returns the ids that are acknowledged. Raises: CronkeeperError."""

    def __call__(self, reports: Sequence[Report]) -> Sequence[str]: ...


class HttpSend:
    """`Send` by POST /reports of the API."""

    def __init__(self, url: str, node: str, key: NodeKey) -> None:
        self._url = url.rstrip("/") + "/reports"
        self._node = node
        self._key = key
        self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT, maxsize=1)

    def __call__(self, reports: Sequence[Report]) -> Sequence[str]:
        body = encode(list(reports))
        headers = {
            "Content-Type": "application/json",
            NODE_HEADER: self._node,
            SIGNATURE_HEADER: self._key.sign(self._node, body),
        }
        try:
            answer = self._http.request("POST", self._url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the API at {self._url} does not answer: {error}") from error
        if answer.status != 200:
            said = answer.data[:300].decode(errors="replace")
            raise Unavailable(f"the API at {self._url} refused reports with {answer.status}: {said}")
        try:
            return decode(answer.data, dict[str, list[str]])["acknowledged"]
        except (ValueError, KeyError) as error:
            raise Unavailable(f"what answers at {self._url} is not the API: {error}") from error


class Reporter:
    """The queue of reports: of each run only the newest waits."""

    def __init__(self, send: Send, notify: Callable[[], None]) -> None:
        self._send = send
        self._notify = notify
        self._wake = threading.Condition()
        self._waiting: dict[str, Report] = {}
        self._acknowledged: dict[str, None] = {}
        self._stopped = self._busy = self._left_over = False
        self._thread = threading.Thread(target=self._loop, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def submit(self, report: Report) -> None:
        """Send it soon, and again until it is acknowledged."""
        with self._wake:
            self._waiting[report.run_id] = report
            self._acknowledged.pop(report.run_id, None)  # that was of an older one, which says less
            self._wake.notify()

    def acknowledged(self) -> list[str]:
        """The runs whose end the API has acknowledged since the last call."""
        with self._wake:
            runs, self._acknowledged = self._acknowledged, {}
        return list(runs)

    def waiting(self) -> int:
        """How many reports have not been acknowledged yet."""
        with self._wake:
            return len(self._waiting)

    def stop(self, timeout: float = 2.0) -> None:
        """Send what is waiting, if that takes no longer than `timeout`, and stop."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join(timeout)

    def _loop(self) -> None:
        pause = RETRY_FIRST
        while (batch := self._next_batch()) is not None:
            try:
                acknowledged = self._send(batch)
            except CronkeeperError as error:
                if pause in (RETRY_FIRST, RETRY_MOST):
                    log.warning("%d reports wait: %s", self.waiting(), error)
                with self._wake:
                    if self._stopped:
                        return
                    self._wake.wait_for(lambda: self._stopped, timeout=pause)
                pause = min(2 * pause, RETRY_MOST)
                continue
            pause = RETRY_FIRST
            self._settle(batch, set(acknowledged))

    def _next_batch(self) -> list[Report] | None:
        with self._wake:
            self._wake.wait_for(lambda: bool(self._waiting) or self._stopped)
            if not self._stopped and not self._left_over:
                self._busy = self._busy or len(self._waiting) >= MANY
                linger = LINGER_WITH_MANY if self._busy else LINGER
                self._wake.wait_for(lambda: self._stopped or len(self._waiting) >= MAX_BATCH, timeout=linger)
            self._busy = len(self._waiting) >= MANY
            batch = _first(self._waiting.values())
            self._left_over = len(batch) < len(self._waiting)
            return batch if batch else None

    def _settle(self, batch: Sequence[Report], acknowledged: set[str]) -> None:
        with self._wake:
            for report in batch:
                if report.run_id not in acknowledged or self._waiting.get(report.run_id) is not report:
                    continue  # a newer one, which says more, is still to go
                del self._waiting[report.run_id]
                if report.state.final:
                    self._acknowledged[report.run_id] = None
        self._notify()


def _first(waiting: Iterable[Report]) -> list[Report]:
    """The first of the reports, as many as fit into one batch."""
    batch: list[Report] = []
    size = 0
    for report in waiting:
        size += sum(len(output.data) for output in (report.stdout, report.stderr) if output is not None)
        if batch and (len(batch) == MAX_BATCH or size > MAX_BATCH_BYTES):
            break
        batch.append(report)
    return batch
