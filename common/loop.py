"""The outer loop of every daemon: a step, then a wait for an event or the time."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from cronkeeper.common.clock import utc_now
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.waker import Waker

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds after an error that nobody foresaw."""


def run(step: Callable[[datetime], float], waker: Waker, stop: threading.Event) -> None:
    """Call `step` with the wall clock until `stop` is set; whoever sets it also sets the waker.

    Raises:
        CronkeeperError: what the step found that no repetition mends.
    """
    while not stop.is_set():
        try:
            wait = step(utc_now())
        except CronkeeperError:
            raise
        except Exception:
            log.exception("a round failed, the next one begins in %s s", PAUSE)
            wait = PAUSE
        if not stop.is_set():
            waker.wait(wait)
