"""Reports to the API: in batches, signed with the node's key, repeated until they are acknowledged.

A thread of its own, so that an API that hangs holds up no tick. What is waiting is only in memory: the
run folders and claims are the journal, and after a restart the worker submits from them again.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import urllib3

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.model import Report, decode, encode
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER, NodeKey
from cronkeeper.worker.outputs import with_outputs
from cronkeeper.worker.pace import MAX_BATCH, NotTaken, Pace
from cronkeeper.worker.report_queue import ReportQueue, Waiting
from cronkeeper.worker.run_folder import RunFolder

log = logging.getLogger(__name__)

LINGER = 0.02
"""Seconds that a batch waits for company."""
MANY = 10
LINGER_WITH_MANY = 0.5
"""So long it waits, unless it is full, where at least `MANY` reports wait, or just did: it saves a burst most of
the requests."""
TIMEOUT = 10.0
NOT_OF_THE_BATCH = frozenset({401, 403, 404, 429, 502, 503, 504})
"""Refusals that other reports would meet as well."""


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
        except (urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.ProtocolError) as error:
            raise NotTaken(f"the API at {self._url} does not answer: {error}", too_much=True) from error
        except urllib3.exceptions.HTTPError as error:
            raise NotTaken(f"the API at {self._url} does not answer: {error}") from error
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            return decode(answer.data, dict[str, list[str]])["acknowledged"]
        except (ValueError, KeyError) as error:
            raise NotTaken(f"what answers at {self._url} is not the API: {error}") from error

    def _refusal(self, answer: urllib3.BaseHTTPResponse) -> NotTaken:
        said = answer.data[:300].decode(errors="replace")
        wish = answer.headers.get("Retry-After", "")
        return NotTaken(
            f"the API at {self._url} refused reports with {answer.status}: {said}",
            retry_after=float(wish) if re.fullmatch("[0-9]{1,9}", wish) else 0.0,
            refused=answer.status not in NOT_OF_THE_BATCH,
        )


class Reporter:
    """The queue of reports: of each run only the newest waits."""

    def __init__(self, send: Send, notify: Callable[[], None], pace: Pace | None = None) -> None:
        self._send = send
        self._notify = notify
        self._pace = Pace() if pace is None else pace
        self._wake = threading.Condition()
        self._queue = ReportQueue()
        self._acknowledged: dict[str, None] = {}
        self._stopped = self._busy = self._left_over = False
        self._thread = threading.Thread(target=self._loop, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def submit(self, report: Report, folder: RunFolder | None = None) -> None:
        """Send it soon, and again until it is acknowledged; what the run wrote is read from its folder then."""
        with self._wake:
            self._queue.add(report, folder)
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
            return len(self._queue)

    def oldest(self) -> datetime | None:
        """When that happened which has waited longest to be told; None where nothing waits."""
        with self._wake:
            return self._queue.oldest()

    def stop(self, timeout: float = 2.0) -> None:
        """Send what is waiting, if that takes no longer than `timeout`, and stop."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join(timeout)

    def send_next(self) -> float | None:
        """Hand one batch over; returns for how many seconds to leave the API alone, None where it took it in."""
        with self._wake:
            taken = self._queue.take(self._pace.batch)
        batch = _read(taken, self._pace.batch_bytes)
        with self._wake:
            self._queue.put_back(taken[len(batch) :])
            self._left_over = len(batch) < len(self._queue)
        waiting = [each for each, _ in batch]
        try:
            acknowledged = set(self._send([report for _, report in batch]))
            if not acknowledged:
                raise NotTaken("the API answers, and acknowledges nothing")
        except CronkeeperError as error:
            return self._put_back(waiting, error)
        self._pace.went_well()
        self._settle(waiting, acknowledged)
        return None

    def _loop(self) -> None:
        while self._await_company():
            pause = self.send_next()
            if pause is None:
                continue
            with self._wake:
                if self._stopped:
                    return
                self._wake.wait_for(lambda: self._stopped, timeout=pause)

    def _await_company(self) -> bool:
        """Wait until there is something to send, and a little for more; False once that is over for good."""
        with self._wake:
            self._wake.wait_for(lambda: len(self._queue) > 0 or self._stopped)
            if not self._stopped and not self._left_over:
                self._busy = self._busy or len(self._queue) >= MANY
                linger = LINGER_WITH_MANY if self._busy else LINGER
                self._wake.wait_for(lambda: self._stopped or len(self._queue) >= MAX_BATCH, timeout=linger)
            self._busy = len(self._queue) >= MANY
            return len(self._queue) > 0

    def _put_back(self, batch: Sequence[Waiting], error: CronkeeperError) -> float:
        """Let them wait again; returns for how many seconds."""
        if self._pace.told:
            log.warning("%d reports wait: %s", self.waiting(), error)
        with self._wake:
            if isinstance(error, NotTaken) and error.refused and len(batch) == 1:
                batch[0].put_off += 1
                log.error("the report of run %s waits behind all others", batch[0].report.run_id)
            self._queue.put_back(batch)
        return self._pace.failed(error)

    def _settle(self, batch: Sequence[Waiting], acknowledged: set[str]) -> None:
        with self._wake:
            for waiting in batch:
                if not self._queue.holds(waiting):
                    continue  # a newer one, which says more, is still to go
                if waiting.report.run_id not in acknowledged:
                    self._queue.put_back([waiting])
                    continue
                self._queue.remove(waiting)
                if waiting.report.state.final:
                    self._acknowledged[waiting.report.run_id] = None
        self._notify()


def _read(taken: Iterable[Waiting], limit: int) -> list[tuple[Waiting, Report]]:
    """The first of them with what the runs wrote, as many as have room in one batch."""
    batch: list[tuple[Waiting, Report]] = []
    size = 0
    for waiting in taken:
        report = waiting.report if waiting.folder is None else with_outputs(waiting.report, waiting.folder)
        size += sum(len(output.data) for output in (report.stdout, report.stderr) if output is not None)
        if batch and size > limit:
            break
        batch.append((waiting, report))
    return batch
