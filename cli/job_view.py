"""How jobs look to people: the columns of their list, and the sheet of one."""

from collections.abc import Sequence
from typing import Any

from .cells import NOTHING, STYLES, Cell, cell, duration, instant, minute, printable, size, words
from .show import Rows, Thing, field

POLICIES = (
    "timeout",
    "grace",
    "concurrency",
    "catch_up",
    "max_lateness",
    "max_output",
    "retry",
    "on_node_loss",
    "when_isolated",
    "copies",
)
USUAL = {"on_node_loss": "fail", "when_isolated": "finish", "copies": 1}
"""What needs no line, since nearly all jobs have it so."""
NAMED = 10
"""How many nodes are named of those that have a copy."""
FOR_ADMINS = "which only admins may see"
DURATIONS = ("timeout", "grace", "max_lateness")


def status(job: Thing) -> Cell:
    """Its status; one that is paused says so, unless its last run has failed."""
    paused = not job["enabled"] and job["status"] == "scheduled"
    return ("paused", STYLES["paused"]) if paused else cell("status", job["status"])


def schedule(job: Thing) -> Cell:
    """Its expression."""
    return (printable(job["schedule"]), "") if job["schedule"] is not None else ("by hand", "dim")


def next_tick(job: Thing) -> Cell:
    """Its next tick in this machine's time."""
    ticks = job["next_ticks"]
    return (instant(ticks[0]), "") if ticks else NOTHING


def last_run(job: Thing) -> Cell:
    """How its last run is or ended, and when it began; of one that never began, when it was due."""
    run = job["last_run"]
    if run is None:
        return NOTHING
    began = run["started_at"] if run["started_at"] is not None else run["tick"]
    state, style = cell("state", run["state"])
    code = f" ({run['exit_code']})" if run["exit_code"] else ""
    return f"{state}{code}" if began is None else f"{state}{code} {minute(began)}", style


COLUMNS = {
    "id": field("id"),
    "name": field("name"),
    "schedule": schedule,
    "status": status,
    "next tick": next_tick,
    "node": field("assigned_node"),
    "last run": last_run,
}


def title(job: Thing) -> str:
    """What a job is called in sentences."""
    return f"job {job['id']}, {printable(job['name'])}"


def rows(job: Thing, reason: str | None = None, copies: Sequence[Thing] = ()) -> Rows:
    """Everything about one job, with the reason of its last run's state; what it does not have is left out.

    `copies` are those that it has on nodes, of a job that may be on all.
    """
    lines: list[tuple[str, list[Cell]]] = [
        ("name", [field("name")(job)]),
        ("status", [status(job)]),
        *_what(job),
        ("schedule", [schedule(job), *_given(job, "description")]),
        ("time zone", [field("timezone")(job)]),
        ("next ticks", [(instant(tick), "") for tick in job["next_ticks"]]),
        ("last run", [last_run(job), *_why(job["last_run"], reason)]),
        ("last run's id", [cell("id", job["last_run"]["id"])] if job["last_run"] is not None else []),
        ("node", [_nodes(job, copies), *_given(job, "placement")]),
        ("only on node", _given(job, "node")),
        ("with labels", _given(job, "requires") if job["requires"] else []),
        ("run as", _given(job, "run_as")),
        *((name.replace("_", " "), _policy(name, job.get(name))) for name in POLICIES),
        ("created", [(f"{instant(job['created_at'])} by {printable(job['created_by'])}", "")]),
        ("updated", [(f"{instant(job['updated_at'])}, revision {job['rev']}", "")]),
        ("ended", _given(job, "ended_at")),
    ]
    return [(label, cells) for label, cells in lines if cells]


def _nodes(job: Thing, copies: Sequence[Thing]) -> Cell:
    if job.get("copies", 1) == 1:
        return field("assigned_node")(job)
    names = [copy["node"] for copy in copies if copy["on_node"]]
    more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    return (f"{len(names)}: {', '.join(names[:NAMED])}{more}", "") if names else NOTHING


def _what(job: Thing) -> list[tuple[str, list[Cell]]]:
    """What is run, and what it is given."""
    return [
        (job["type"], _given(job, "command") + _given(job, "filename") + _given(job, "executable")),
        ("arguments", [(words(job["args"]), "")] if job["args"] else []),
        ("shell", _given(job, "shell")),
        ("environment", [_variable(name, value) for name, value in job["env"].items()]),
        ("stdin", _stdin(job)),
    ]


def _why(run: Thing | None, reason: str | None) -> list[Cell]:
    code = [(f"exit code {run['exit_code']}", "")] if run is not None and run["exit_code"] else []
    return code + ([(printable(reason), "")] if reason is not None else [])


def _variable(name: str, value: str | None) -> Cell:
    return (f"{name}, {FOR_ADMINS}", "dim") if value is None else (printable(f"{name}={value}"), "")


def _stdin(job: Thing) -> list[Cell]:
    if "stdin" in job["hidden"]:
        return [(FOR_ADMINS, "dim")]
    return [(printable(line), "") for line in job["stdin"].splitlines()] if job["stdin"] else []


def _given(job: Thing, name: str) -> list[Cell]:
    return [cell(name, job[name])] if job[name] is not None else []


def _policy(name: str, value: Any) -> list[Cell]:
    if value is None or value == USUAL.get(name):
        return []
    if name == "max_output":
        return [(size(value), "")]
    if name == "retry":
        more = f"after {duration(value['delay'])}, each delay {value['backoff']:g} times the one before"
        return [(f"{value['attempts']} more attempts", ""), (more, "")]
    return [(duration(value), "") if name in DURATIONS else cell(name, value)]
