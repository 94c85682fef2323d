"""What the API's views work with, made once for each process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from flask import Flask, current_app
from prometheus_client.registry import Collector

from cronkeeper.common.clock import utc_now
from cronkeeper.common.ledger import Rules
from cronkeeper.manager.desk import Desk

from .identity import Identity
from .leaving import Leaving

_KEY = "cronkeeper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`timezone` is the fleet's, by name; `max_waiters` is how many requests may wait for a run at a time,
    and `max_batches` how many batches of reports may be in work. Each process has its own."""

    desk: Desk
    identity: Identity
    timezone: str
    max_waiters: int
    max_batches: int = 3
    version: str
    clock: Callable[[], datetime] = utc_now
    ledger: Rules = field(default_factory=Rules)
    figures: Sequence[Collector] = ()
    """Of other parts in this process: they are shown with the API's."""
    leaving: Leaving = field(default_factory=Leaving)


def install(app: Flask, services: Services) -> None:
    """Let the views of this app find the services."""
    app.extensions[_KEY] = services


def services() -> Services:
    """Those of the app that the current request came to."""
    return cast(Services, current_app.extensions[_KEY])
