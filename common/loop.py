"""The outer loop of every daemon: a step, then a wait for an event or the time."""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from cronkeeper.common.clock import utc_now
from cronkeeper.common.errors import CronkeeperError
from cronkeeper.common.waker import Stop, Waker

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds after an error that nobody foresaw."""


HURRY = 0.1
"""Which part of the spacing is left in a hurry."""


def run(
    step: Callable[[datetime], float],
    waker: Waker,
    stop: Stop,
    spacing: float = 0.0,
    hurried: Callable[[], bool] = lambda: False,
) -> None:
    """Call `step` with the wall clock until `stop` is set; whoever sets it also sets the waker.

    Between two rounds lie at least `spacing` seconds: where a thousand things happen at once, a round then has
    many of them to do instead of one. It is a tenth where what happens is waited for, which `hurried` says.

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
            ended = time.monotonic()
            waker.wait(wait)
            pause = spacing * HURRY if hurried() else spacing
            time.sleep(max(0.0, ended + pause - time.monotonic()))
