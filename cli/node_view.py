"""How a node looks to people."""

from .cells import NOTHING, Cell, cell, duration, instant, printable
from .show import Rows, Thing

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
OF_THE_NODE = ("name", "live", "jobs", "runs", "labels", "added_at", "drained_at")
CRONDS = {"debian": "Debian's cron", "other": "of a kind that is not known", "none": "none"}


def capacity(node: Thing) -> Cell:
    """How many jobs the node takes; 0 is no number of jobs."""
    return ("no limit", "dim") if node["capacity"] == 0 else cell("capacity", node["capacity"])


def conditions(node: Thing) -> Cell:
    """What is wrong with it, by name."""
    wrong = node.get("conditions")  # an older API says nothing of them
    return (printable(", ".join(each["name"] for each in wrong)), "yellow") if wrong else NOTHING


def paused(node: Thing) -> Cell:
    """Since when nothing begins there."""
    since = [each for name in ("paused_at", "fleet_paused_at") if (each := node.get(name)) is not None]
    return (instant(min(since)), "yellow") if since else NOTHING  # an older API says nothing of it


def rows(node: Thing) -> Rows:
    """What the API says of a node, line by line."""
    known = [(name.removesuffix("_at"), [cell(name, node[name])]) for name in OF_THE_NODE]
    known.insert(4, ("capacity", [capacity(node)]))
    known.append(("paused", [paused(node)]))
    if node.get("fleet_paused_at") is not None:
        known.append(("whole fleet", [(f"paused since {instant(node['fleet_paused_at'])}", "yellow")]))
    wrong = node.get("conditions")
    said = [f"{each['name']} since {instant(each['since'])}: {each['reason']}" for each in wrong or ()]
    known.insert(2, ("conditions", [(printable(text), "yellow") for text in said] or [NOTHING]))
    facts = node["facts"]
    if facts is None:
        live = [
            (name.replace("_", " "), [cell(name, node[name])]) for name in ("crond", "version", "boot_id")
        ]
        return [*known, *live, ("facts", [("it has told nothing of its machine yet", "dim")])]
    return [*known, *_machine(facts), *_daemon(facts), ("told at", [cell("told_at", facts["told_at"])])]


def _machine(facts: Thing) -> Rows:
    system = ", ".join(facts[name] for name in ("os", "kernel", "architecture"))
    room = f"{amount(facts['disk_free'])} free of {amount(facts['disk_total'])}, where worker.home lies"
    return [
        ("host", [_text(facts["hostname"])]),
        ("system", [_text(system)]),
        ("cores", [cell("cores", facts["cores"])]),
        ("memory", [_text(amount(facts["memory"]))]),
        ("disk", [_text(room)]),
        ("time zone", [_text(facts["timezone"])]),
        ("clock", [_clock(facts["clock_offset"], facts["clock_error"])]),
        ("boot", [_text(f"{facts['boot_id']}, since {instant(facts['booted_at'])}")]),
    ]


def _daemon(facts: Thing) -> Rows:
    table = facts["crontab"]
    crontab = str(table) if table is not None else "none, its own clock starts the jobs"
    return [
        ("cron", [_text(str(CRONDS.get(facts["crond"], facts["crond"])))]),
        ("crontab", [_text(crontab)]),
        ("places", [cell("max_running", facts["max_running"])]),
        ("versions", [_text(f"cronkeeper {facts['version']}, Python {facts['python']}")]),
        ("worker", [_text(f"started at {instant(facts['started_at'])}")]),
        ("configuration", _configuration(facts["configuration"])),
    ]


def _configuration(known: Thing | None) -> list[Cell]:
    if known is None:
        return [NOTHING]
    said = [_text(f"read at {instant(known['loaded_at'])}")]
    if known["error"] is not None:
        said.append((printable(f"refused, and as it was before: {known['error']}"), "red"))
    if known["needs_restart"]:
        said.append((printable(f"needs a restart: {', '.join(known['needs_restart'])}"), "yellow"))
    return said


def _clock(offset: float | None, error: float | None) -> Cell:
    if offset is None or error is None:
        return "not measured yet", "dim"
    if abs(offset) <= error:
        return f"right, to {_seconds(error)}", ""
    return f"{_seconds(abs(offset))} {'ahead' if offset > 0 else 'behind'}, to {_seconds(error)}", ""


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else duration(round(value, 1))


def amount(count: int) -> str:
    """Bytes, to three figures or so."""
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{count} B"


def _text(text: str) -> Cell:
    return printable(text), ""


def reloaded(name: str, known: Thing) -> str:
    """What became of a node's configuration, in a line."""
    if known["error"] is not None:
        return f"{name}: refused: {known['error']}"
    if known["needs_restart"]:
        return f"{name}: reloaded; needs a restart: {', '.join(known['needs_restart'])}"
    return f"{name}: reloaded"
