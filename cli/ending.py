"""How a run ended: waiting for it, saying it, and the exit code that tells it to a shell."""

import time
from typing import Any

import click

from .cells import printable
from .client import Client, Unreachable, path_to

ENDED_BADLY = 5
NOT_OVER = 6
POLL = 0.5
PATIENCE = 60.0
"""Seconds for which the API may be away while somebody waits: it is restarted now and then."""

Run = dict[str, Any]


def run_path(run_id: str) -> str:
    """Where the API has the run."""
    return path_to("runs", run_id)


def ended(run: Run) -> bool:
    """True where nothing more is expected of the run."""
    from cronkeeper.common.model import RunState

    return RunState(run["state"]).final


def await_end(client: Client, run: Run, deadline: float | None) -> Run:
    """Ask for the run until it has ended; as it was last seen at `deadline` on the monotonic clock, if any.

    Raises: what `Client.call` raises; Unreachable once it has been so for a minute.
    """
    answered = time.monotonic()
    while not ended(run) and (deadline is None or time.monotonic() < deadline):
        left = POLL if deadline is None else deadline - time.monotonic()
        time.sleep(max(0.0, min(POLL, left)))
        try:
            run = client.call("GET", run_path(run["id"])).json
            answered = time.monotonic()
        except Unreachable:
            if time.monotonic() > answered + PATIENCE:
                raise
    return run


def sentence(run: Run) -> str:
    """The run's state in one line, and why it is so where that is known."""
    text = f"run {run['id']}: {run['state']}"
    if run["reason"] is not None:
        return f"{text}: {printable(run['reason'])}"
    return f"{text} with exit code {run['exit_code']}" if run["exit_code"] is not None else text


def leave(run: Run) -> None:
    """End the command with the exit code that says how the run ended."""
    code = NOT_OVER if not ended(run) else 0 if run["state"] == "succeeded" else ENDED_BADLY
    click.get_current_context().exit(code)
