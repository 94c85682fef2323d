"""The file that a run needs: whether it is here yet, and how long the run waits for it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.schedule import ONCE
from cronkeeper.worker.process import CannotStart
from cronkeeper.worker.run_folder import Plan


class Files(Protocol):
    """The node's copies of artifacts (see common.artifacts.cache)."""

    def path(self, sha256: str) -> Path | None: ...
    def request(self, sha256: str) -> None: ...
    def error(self, sha256: str) -> CronkeeperError | None: ...
    def keep(self, in_use: set[str]) -> None: ...


def is_missing(files: Files, plan: Plan) -> bool:
    """Whether the run needs a file that is not here."""
    artifact = plan.spec.artifact
    return artifact is not None and files.path(artifact.sha256) is None


def script(files: Files, plan: Plan, on_time: timedelta, now: datetime) -> Path | None:
    """The file's place; None while it is waited for. Raises: CannotStart."""
    artifact = plan.spec.artifact
    assert artifact is not None
    path = files.path(artifact.sha256)
    if path is not None:
        return path
    error = files.error(artifact.sha256)
    if error is not None:
        raise CannotStart(f"{artifact.filename} could not be fetched: {error}")
    if _too_late(plan, on_time, now):
        raise CannotStart(f"artifact unavailable: {artifact.filename} could not be fetched in time")
    files.request(artifact.sha256)
    return None


def _too_late(plan: Plan, on_time: timedelta, now: datetime) -> bool:
    """As of a tick that is not claimed yet; a further attempt has as long from its own claim. All others wait."""
    if plan.tick is None or plan.spec.schedule == ONCE:
        return False
    since = plan.tick if plan.attempt == 1 else plan.claimed_at
    return now - since > max(on_time, timedelta(seconds=plan.spec.max_lateness))
