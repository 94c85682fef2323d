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
)
"""The job's fields that can be changed as text: a file is given with --script or --binary."""
OF_COMMANDS = ("command",)
OF_FILES = ("args",)
HEAD = "# Job {id}. What you change is sent; times are in seconds. Lines that begin with # are left out.\n"


def edited(job: Mapping[str, Any], send: Callable[[dict[str, Any]], T]) -> T | None:
    """What `send` returns for the changes; None where there are none.

    Where the text is no JSON, or the changes are refused, the editor opens again and says why.

    Raises:
        Refused: it was closed without another try.
        click.UsageError: nobody is there who could edit.
    """
    if not sys.stdin.isatty() and not {"VISUAL", "EDITOR"} & os.environ.keys():
        raise click.UsageError("give what to change as options, or set EDITOR: this is no terminal")
    hidden = OF_FILES if job["type"] == "command" else OF_COMMANDS
    before = {name: job[name] for name in EDITABLE if name in job and name not in hidden}
    content, head = json.dumps(before, indent=2, ensure_ascii=False) + "\n", HEAD.format(id=job["id"])
    refusal: Refused | None = None
    while True:
        returned = click.edit(head + content, extension=".json")
        kept = _without_comments(returned) if returned is not None else content
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


def _without_comments(text: str) -> str:
    """JSON has no comments, and none of its texts goes over more than one line."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(kept).strip() + "\n"


def _changes(before: Mapping[str, Any], text: str) -> dict[str, Any]:
    try:
        after = json.loads(text)
    except ValueError as error:
        raise Refused(f"this is no JSON: {error}") from error
    if not isinstance(after, dict):
        raise Refused("an object in braces is expected")
    left_out = [name for name in before if name not in after]
    if left_out:
        raise Refused(f"{', '.join(left_out)}: the line is gone; null takes a value away")
    return {name: value for name, value in after.items() if name not in before or before[name] != value}
