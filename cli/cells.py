"""How single values look to people: a text, and the style that a terminal gives it."""

import shlex
from datetime import datetime
from typing import Any

Cell = tuple[str, str]
"""A text without anything that would drive a terminal, and a style of rich's; empty for none."""
NOTHING: Cell = ("-", "dim")
STYLES = {
    "scheduled": "green",
    "succeeded": "green",
    "error": "red",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "queued": "cyan",
    "claimed": "cyan",
    "running": "cyan",
    "paused": "yellow",
    "skipped": "yellow",
    "canceled": "yellow",
    "finished": "dim",
}
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
"""Letters of durations, and their seconds."""
SIZES = {"G": 1024**3, "M": 1024**2, "K": 1024}
"""Letters of sizes, and their bytes."""


def cell(name: str, value: Any) -> Cell:
    """The value of the API's field of that name."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no", ("green" if value else "red") if name == "live" else ""
    if isinstance(value, dict):
        return (
            (printable(", ".join(f"{key}={each}" for key, each in value.items())), "") if value else NOTHING
        )
    if name in ("status", "state"):
        return printable(value), STYLES.get(value, "")
    if name in ("at", "tick") or name.endswith("_at"):
        return instant(value), ""
    return printable(str(value)), ""


def instant(text: str) -> str:
    """An instant of the API's in this machine's time, with the zone; to the second where it has seconds."""
    local = datetime.fromisoformat(text).astimezone()
    return f"{local:%F %T %Z}" if local.second else f"{local:%F %R %Z}"


def minute(text: str) -> str:
    """The minute of an instant of the API's in this machine's time: where space is short."""
    return f"{datetime.fromisoformat(text).astimezone():%F %R}"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves nothing over, as the options take them."""
    for letter, size in UNITS.items():
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{letter}"
    return f"{seconds:g}s"


def size(count: int) -> str:
    """Bytes in the largest unit that leaves nothing over, as the options take them."""
    for letter, unit in SIZES.items():
        if count >= unit and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def words(values: list[str]) -> str:
    """Arguments as a shell would be given them."""
    return printable(shlex.join(values))


def printable(text: str) -> str:
    """The text in one line; a command may hold what would drive a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
