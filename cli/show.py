"""What the API answered, as text for people or as JSON for programs.

On a terminal there are colours and frames. Anywhere else the same is plain, and no line is ever folded or cut.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .cells import Cell, cell

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Thing = Mapping[str, Any]
Columns = Mapping[str, Callable[[Thing], Cell]]
"""Titles, and what stands below each for a thing."""
Rows = Sequence[tuple[str, Sequence[Cell]]]
"""Labels, and the lines beside each."""

UNLIMITED = 1_000_000
"""Columns of a line that nobody folds."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API gives it.")


def field(name: str) -> Callable[[Thing], Cell]:
    """A column that shows one of the API's fields."""
    return lambda thing: cell(name, thing[name])


def answer(content: Any, sentence: str, *, as_json: bool) -> None:
    """What was done, in a sentence, or what the API said of it."""
    click.echo(json.dumps(content, indent=2) if as_json else sentence)


def forget_output() -> None:
    """Let what could not be printed not be tried once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def many(things: Sequence[Thing], columns: Columns, *, as_json: bool) -> None:
    """A table with these columns, or an array of all there is."""
    if as_json:
        click.echo(json.dumps(things, indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    table = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        collapse_padding=console.is_terminal,
    )
    for title in columns:
        table.add_column(title.upper(), overflow="fold", no_wrap=title == "id")
    for thing in things:
        table.add_row(*(Text(*column(thing)) for column in columns.values()))
    _print(console, table)


def sheet(title: str, rows: Rows) -> None:
    """A label and its lines below the other, in a frame with a title on a terminal."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = _console()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, lines in rows:
        for number, line in enumerate(lines):
            grid.add_row("" if number else label, Text(*line))
    if console.is_terminal:
        _print(console, Panel(grid, title=Text(title), title_align="left", expand=False))
    else:
        _print(console, grid)


def one(title: str, thing: Thing, *, as_json: bool) -> None:
    """A line for each field."""
    if as_json:
        click.echo(json.dumps(thing, indent=2))
        return
    sheet(title, [(name.replace("_", " "), [cell(name, value)]) for name, value in thing.items()])


def _console() -> "Console":
    from rich.console import Console

    terminal = sys.stdout.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    return Console(
        force_terminal=terminal,
        color_system=None if plain else "auto",
        width=None if terminal else UNLIMITED,
        highlight=False,
    )


def _print(console: "Console", content: "RenderableType") -> None:
    """By way of click, which knows of pipes that are closed."""
    with console.capture() as captured:
        console.print(content)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=console.is_terminal)
