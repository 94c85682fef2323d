"""What holds for all tiers."""

import ctypes
import os
import signal

import hypothesis
from testbed import server

WORKERS = 2
"""How many pytest processes share the ports at most (`make test`)."""
PR_SET_PDEATHSIG = 1


def pytest_configure() -> None:
    """Give each of pytest's processes ports of its own, and let none outlive the one that hands out the tests."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    number = int(worker.removeprefix("gw")) if worker is not None else 0
    if number >= WORKERS:
        raise RuntimeError(f"there are ports for {WORKERS} processes of pytest, and this would be one more")
    share = len(server.PORTS) // WORKERS
    server.PORTS = server.PORTS[number * share : (number + 1) * share]
    # No example is too slow on a machine that is busy.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    if worker is not None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
