"""Reports on their way: the end of a run that wrote much waits a little until that lies in the artifact store."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cronkeeper.common.clock import uptime
from cronkeeper.common.model import Outcome, Output, Report, replace
from cronkeeper.worker.kept import IN_REPORT
from cronkeeper.worker.outputs import is_dropped
from cronkeeper.worker.reporter import Reporter
from cronkeeper.worker.reports import of_end
from cronkeeper.worker.run_folder import RunFolder
from cronkeeper.worker.uploads import Done

PATIENCE = 3.0
"""Seconds that an end waits for its output to be stored; then it is told without, and again afterwards."""


class Storing(Protocol):
    """Stores outputs in the background (see `uploads`)."""

    def request(self, folder: RunFolder, sizes: Mapping[str, int]) -> None: ...
    def done(self) -> list[Done]: ...


class Keeping(Protocol):
    """Looks after the ends that wait (see `safekeeping`)."""

    def add(self, folder: RunFolder, outcome: Outcome) -> None: ...
    def drop(self, run_id: str) -> None: ...


@dataclass(slots=True)
class Held:
    """The end of a run whose output is being stored; `told` once it went out without that."""

    report: Report
    folder: RunFolder
    until: float
    told: bool = False


class Outbox:
    """What a worker hands its reports to.

    An end counts as acknowledged once all that is kept of its output lies in the store and the API knows of that:
    until then the run's folder stays, and whatever is restarted, it is done again from there.
    """

    def __init__(
        self, reporter: Reporter, uploads: Storing, keeping: Keeping, clock: Callable[[], float] = uptime
    ) -> None:
        self._reporter = reporter
        self._uploads = uploads
        self._keeping = keeping
        self._clock = clock
        self._held: dict[str, Held] = {}

    def submit(self, report: Report) -> None:
        """Send it soon, and again until it is acknowledged."""
        self._reporter.submit(report)

    def submit_end(self, folder: RunFolder, outcome: Outcome) -> None:
        """Send it soon, or once what the run wrote is stored, where that is more than goes along."""
        self._keeping.add(folder, outcome)
        report = of_end(folder, outcome)
        cap = folder.plan.spec.max_output
        written = {"stdout": report.stdout, "stderr": report.stderr}
        large = {
            stream: output.size
            for stream, output in written.items()
            if output is not None and min(output.size, cap) > IN_REPORT and not is_dropped(folder, stream)
        }
        if not large:
            self._reporter.submit(report, folder)
        elif report.run_id in self._held:
            self._held[report.run_id].report = report
        else:
            self._held[report.run_id] = Held(report, folder, self._clock() + PATIENCE)
            self._uploads.request(folder, large)

    def acknowledged(self) -> list[str]:
        """The runs whose end the API has acknowledged since the last call, and all that is kept of their output."""
        for done in self._uploads.done():
            held = self._held.pop(done.run_id)
            self._reporter.submit(
                replace(
                    held.report,
                    stdout=_stored(held.report.stdout, done.stored.get("stdout")),
                    stderr=_stored(held.report.stderr, done.stored.get("stderr")),
                ),
                held.folder,
            )
        clock = self._clock()
        for held in self._held.values():
            if not held.told and held.until <= clock:
                held.told = True
                self._reporter.submit(held.report, held.folder)
        acknowledged = [run_id for run_id in self._reporter.acknowledged() if run_id not in self._held]
        for run_id in acknowledged:
            self._keeping.drop(run_id)
        return acknowledged

    def waiting(self) -> int:
        """How many reports have not been acknowledged yet, those that have not been sent among them."""
        held = list(self._held.values())  # at once, for other threads ask too
        return self._reporter.waiting() + sum(not each.told for each in held)

    def oldest(self) -> datetime | None:
        """When that happened which has waited longest to be told; None where nothing waits."""
        return self._reporter.oldest()

    def wait(self) -> float:
        """Seconds until `acknowledged` is wanted, if nothing wakes it before; infinite where it is not."""
        untold = [held.until for held in self._held.values() if not held.told]
        return max(0.0, min(untold) - self._clock()) if untold else math.inf


def _stored(output: Output | None, stored: int | None) -> Output | None:
    return output if output is None or stored is None else replace(output, stored=stored)
