"""What the API answered, as text for people or as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

GAP = "  "
NONE = "-"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API gives it.")


def many(things: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """A table with these columns, or an array of all there is."""
    if as_json:
        click.echo(json.dumps(things, indent=2))
        return
    rows = [[column.upper().replace("_", " ") for column in columns]]
    rows += [[_text(thing[column]) for column in columns] for thing in things]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        click.echo(GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def one(thing: Mapping[str, Any], *, as_json: bool) -> None:
    """A line for each field."""
    if as_json:
        click.echo(json.dumps(thing, indent=2))
        return
    width = max(map(len, thing))
    for field, value in thing.items():
        click.echo(f"{field.replace('_', ' ').ljust(width)}{GAP}{_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    # A command may hold what would drive a terminal.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))
