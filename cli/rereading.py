"""Reading the configuration again in a daemon that runs: what counts at once, and what needs a restart."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cronkeeper.common import log as logs
from cronkeeper.common.config import differing, load
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import replace
from cronkeeper.common.settings import Config, History

if TYPE_CHECKING:
    from cronkeeper.worker.assembly import Settings
    from cronkeeper.worker.reload import Loaded

log = logging.getLogger(__name__)

OF_WORKER = ("fleet", "zookeeper", "s3", "worker", "log")
OF_MANAGER = ("fleet", "sql", "zookeeper", "s3", "manager", "history", "log")
"""The tables that each goes by."""
AT_ONCE = frozenset(
    {
        "worker.labels",
        "worker.capacity",
        "worker.max_running",
        "worker.allow_run_as",
        "history.runs_days",
        "history.runs_per_job",
        "history.output_days",
        "history.output_per_job",
        "log.level",
        "log.format",
    }
)


def of_worker(
    path: Path | None, used: Config, settings_of: "Callable[[Config], Settings]"
) -> "Callable[[], Loaded]":
    """What reads the configuration of a worker again that was started with `used`; it raises Invalid."""
    from cronkeeper.worker.assembly import live_of
    from cronkeeper.worker.reload import Loaded

    def read() -> "Loaded":
        config = load(path)
        live = live_of(replace(settings_of(config), fleet=used.fleet))
        logs.set_up(config.log.level, config.log.format)
        others = differing(used, config, OF_WORKER)
        if used.api.url != config.api.url:
            others.append("api.url")
        return Loaded(live, tuple(key for key in others if key not in AT_ONCE))

    return read


def of_manager(path: Path | None, used: Config) -> Callable[[], History | None]:
    """What reads the configuration of a manager again; None where something in it is wrong."""

    def read() -> History | None:
        try:
            config = load(path)
        except Invalid as error:
            log.error("the configuration was read again and changes nothing: %s", error)
            return None
        logs.set_up(config.log.level, config.log.format)
        log.info("the configuration was read again")
        others = [key for key in differing(used, config, OF_MANAGER) if key not in AT_ONCE]
        if others:
            log.warning("these need a restart to count: %s", ", ".join(others))
        return config.history

    return read
