"""A job's fields in the person's own editor, as JSON."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from .client import Outdated, Refused

T = TypeVar("T")

EDITABLE = (
    "name",
    "command",
    "args",
    "shell",
    "env",
    "stdin",
    "schedule",
    "at",
    "timezone",
    "enabled",
    "node",
    "requires",
    "run_as",
    "timeout",
    "grace",
    "concurrency",
    "catch_up",
    "max_lateness",
    "max_output",
    "retry",
    "on_node_loss",
    "when_isolated",
)
"""The job's fields that can be changed as text: a file is given with --script or --binary."""
OF_COMMANDS = ("command",)
OF_FILES = ("args",)
LINES_ABOVE = 2
"""Of an editor that opens again: its head, and what was wrong."""
HEAD = "# Job {id}. What you change is sent; times are in seconds. Lines that begin with # are left out.\n"


def edited(job: Mapping[str, Any], send: Callable[[dict[str, Any]], T]) -> T | None:
    """What `send` returns for the changes; None where there are none.

    Where the text is no JSON, or the changes are refused, the editor opens again and says why.

    Raises:
        Refused: it was closed without another try, or left no file, or an empty one.
        click.UsageError: nobody is there who could edit.
    """
    if not sys.stdin.isatty() and not {"VISUAL", "EDITOR"} & os.environ.keys():
        raise click.UsageError("give what to change as options, or set EDITOR: this is no terminal")
    hidden = OF_FILES if job["type"] == "command" else OF_COMMANDS
    before = {name: job[name] for name in EDITABLE if name in job and name not in hidden}
    content, head = json.dumps(before, indent=2, ensure_ascii=False) + "\n", HEAD.format(id=job["id"])
    refusal: Refused | None = None
    while True:
        kept = _opened(head, content)
        if refusal is not None and kept == content:
            raise refusal
        content = kept
        try:
            changes = _changes(before, content)
            return send(changes) if changes else None
        except Outdated:
            click.echo(f"What you have written:\n{content}", err=True)
            raise
        except Refused as error:
            refusal, head = error, f"{HEAD.format(id=job['id'])}# NOT ACCEPTED: {error.message}\n"


def _opened(head: str, content: str) -> str:
    """The content as the editor leaves it. Raises: Refused, where nothing is left that could be sent."""
    try:
        returned = click.edit(head + content, extension=".json")
    except FileNotFoundError as error:
        raise Refused(
            "the editor removed or renamed the file that it was given: nothing is changed; let it save that file"
        ) from error
    except UnicodeDecodeError as error:
        raise Refused("the editor saved what is no text in UTF-8: nothing is changed") from error
    kept = _without_comments(returned) if returned is not None else content
    if not kept.strip():
        raise Refused("the file was left empty in the editor: nothing is changed")
    return kept


def _without_comments(text: str) -> str:
    """JSON has no comments, and none of its texts goes over more than one line."""
    # Not by splitlines(): it also breaks a text at what JSON leaves in it as it is, such as U+2028.
    kept = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    return "\n".join(kept).strip() + "\n"


def _changes(before: Mapping[str, Any], text: str) -> dict[str, Any]:
    try:
        after = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno + LINES_ABOVE} column {error.colno}"
        raise Refused(f"this is no JSON: {error.msg}: {place}") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, or brackets in brackets
        raise Refused(f"this can't be read: {error}") from error
    if not isinstance(after, dict):
        raise Refused("an object in braces is expected")
    left_out = [name for name in before if name not in after]
    if left_out:
        raise Refused(f"{', '.join(left_out)}: the line is gone; null takes a value away")
    return {name: value for name, value in after.items() if name not in before or before[name] != value}
