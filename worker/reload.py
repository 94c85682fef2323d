"""Reading the worker's configuration again while it runs, and what of it counts at once."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cronkeeper.common.errors import Conflict, Invalid
from cronkeeper.common.facts import Configuration
from cronkeeper.common.model import replace
from cronkeeper.worker.journal import Accounts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a worker goes by that may change while it runs."""

    labels: Mapping[str, str]
    capacity: int
    """How many jobs the node may have; 0: any number."""
    max_running: int
    """How many runs go on at once."""
    account: Accounts
    """Which users jobs may run as."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was read again; `needs_restart` names the keys that count from the next start on."""

    live: Live
    needs_restart: tuple[str, ...] = ()


def no_file() -> Loaded:
    """What there is to read where nothing is configured. Raises: Conflict."""
    raise Conflict("this install has no configuration that could be read again")


class Reload:
    """Remembers what became of the configuration when it was last read, for people to see."""

    def __init__(self, read: Callable[[], Loaded], now: datetime) -> None:
        """`read` raises Invalid, or Conflict where there is nothing to read."""
        self._read = read
        self.configuration = Configuration(loaded_at=now)

    def carry_out(self, now: datetime, request: str | None) -> Live | None:
        """Read it again; None where that changes nothing, since something in it is wrong."""
        try:
            loaded = self._read()
        except (Invalid, Conflict) as error:
            log.error("the configuration was read again and changes nothing: %s", error)
            self.configuration = replace(self.configuration, loaded_at=now, error=str(error), request=request)
            return None
        self.configuration = Configuration(loaded_at=now, needs_restart=loaded.needs_restart, request=request)
        log.info("the configuration was read again")
        if loaded.needs_restart:
            log.warning("these need a restart to count: %s", ", ".join(loaded.needs_restart))
        return loaded.live
